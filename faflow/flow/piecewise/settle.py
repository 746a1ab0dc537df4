"""After a decision: the flow goes on in the mode chosen, and what changed is counted."""

import jax
import jax.numpy as jnp

from ..._types import Array, Scalar
from .field import Field, Motion
from .mode import Mode
from .state import STEP, Log, State, here_of

STALL = 1e-9  # of the step that the error allows: less is no progress


def settle(field: Field, before: State, state: State, motion: Motion) -> State:
    """The state in the mode that was looked at last."""
    del field
    old, new = before.mode, before.plan.guess
    landed = ~old.sliding & new.sliding
    left = old.sliding & ~new.sliding
    crossed = ~old.sliding & ~new.sliding & (old.above != new.above)
    changed = landed | left | crossed
    events = state.events
    short = before.moved < STALL * before.dt
    return state._replace(
        mode=new,
        here=here_of(before.here.flat, motion),
        phase=jnp.full_like(state.phase, STEP),
        moved=jnp.zeros_like(state.moved),
        cap=jnp.full_like(state.cap, jnp.inf),
        events=events._replace(
            crossed=events.crossed + _count(crossed),
            landed=events.landed + _count(landed),
            left=events.left + _count(left),
            events=events.events + jnp.any(changed).astype(jnp.int32),
            most_sliding=jnp.maximum(events.most_sliding, new.held),
        ),
        stalled=jnp.where(short, state.stalled + 1, 0),
        log=_write(state.log, state.t, changed, new),
    )


def _count(flags: Array) -> Array:
    return jnp.sum(flags, dtype=jnp.int32)


def _write(log: Log, t: Scalar, changed: Array, mode: Mode) -> Log:
    room = log.time.size
    if room == 0:
        return log._replace(written=log.written + _count(changed))

    def some(carry):
        return jnp.any(carry[0])

    def one(carry):
        changed, log = carry
        pair = jnp.argmax(changed).astype(log.pair.dtype)
        became = jnp.where(mode.sliding[pair], 0, jnp.where(mode.above[pair], 1, -1))
        at = log.written
        log = Log(
            log.time.at[at].set(t, mode="drop"),
            log.pair.at[at].set(pair, mode="drop"),
            log.became.at[at].set(became.astype(log.became.dtype), mode="drop"),
            at + 1,
        )
        return changed.at[pair].set(False), log

    return jax.lax.while_loop(some, one, (changed, log))[1]
