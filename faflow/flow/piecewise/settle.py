"""After a decision: the flow goes on in the mode chosen, and what changed is counted and logged."""

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Scalar
from .mode import Mode, codes, first_index
from .state import STEP, Log, State

STALL = 1e-9  # of the step that the error allows: less is no progress


def settle(now: State, settled: Flag) -> State:
    """If `settled`, the state in the mode that was looked at last (but for `here`)."""
    old, new = now.mode, now.plan.guess
    landed = settled & ~old.sliding & new.sliding
    left = settled & old.sliding & ~new.sliding
    crossed = settled & ~old.sliding & ~new.sliding & (old.above != new.above)
    events, short = now.events, now.moved < STALL * now.dt
    chosen = now._replace(
        mode=new,
        phase=jnp.full_like(now.phase, STEP),
        moved=jnp.zeros_like(now.moved),
        cap=jnp.full_like(now.cap, jnp.inf),
        stalled=jnp.where(short, now.stalled + 1, 0),
    )
    changing = ("mode", "phase", "moved", "cap", "stalled")
    parts = {
        name: jax.tree.map(
            lambda a, b: jnp.where(settled, a, b), getattr(chosen, name), getattr(now, name)
        )
        for name in changing
    }
    events = events._replace(
        crossed=events.crossed + _count(crossed),
        landed=events.landed + _count(landed),
        left=events.left + _count(left),
        events=events.events + jnp.any(landed | left | crossed).astype(jnp.int32),
        most_sliding=jnp.maximum(events.most_sliding, jnp.where(settled, new.held, 0)),
    )
    return now._replace(events=events, **parts)


def _count(flags: Array) -> Array:
    return jnp.sum(flags, dtype=jnp.int32)


def write(log: Log, t: Scalar, old: Mode, new: Mode) -> Log:
    """The log with what changed between the modes; a full one only counts."""
    before, after = codes(old), codes(new)
    changed, room = before != after, log.time.size
    if room == 0:
        return log._replace(written=log.written + _count(changed))

    def one(carry):
        changed, log = carry
        pair, at = first_index(changed), log.written
        log = Log(
            log.time.at[at].set(t, mode="drop"),
            log.pair.at[at].set(pair, mode="drop"),
            log.became.at[at].set(after[pair], mode="drop"),
            at + 1,
        )
        return changed.at[pair].set(False), log

    return jax.lax.while_loop(lambda carry: jnp.any(carry[0]), one, (changed, log))[1]
