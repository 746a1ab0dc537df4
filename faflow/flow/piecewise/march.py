"""The march of an exact flow: Runge-Kutta steps inside a mode, events between modes.

One loop, and in each of its rounds one look at the field at one point in one mode: the end of a
trial step, a place inside it where an event is sought, or the place of an event in a mode that
might go on from there. What the look was for is the `phase`; what it showed decides the next.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, Scalar
from ..loop.carry import RUNNING
from ..loop.recording import Clock
from .decisions.decide import to_begin, turned
from .decisions.pivot import after_pivot, after_stroke
from .land import place
from .mode import Mode
from .screen import next_crossing
from .setting import Look, Setting, in_place
from .settle import write
from .start import start
from .state import LOOK, PIVOT, STAY, STEP, Log, Plan, State
from .stride import after_look, after_step, stand
from .watch import judge

REACH = 1.02  # a trial step ends this much beyond the first crossing, if all pairs kept their speed


def first_state(setting: Setting) -> tuple[State, Log]:
    """The state at t0, the mode there still to be decided, and an empty log."""
    fresh, log = start(setting)
    plan = to_begin(fresh.plan, jnp.zeros_like(fresh.here.near))
    return fresh._replace(plan=plan, phase=jnp.full_like(fresh.phase, PIVOT)), log


def advance(
    setting: Setting, state: State, log: Log, target: Scalar, tail: Scalar, limit: Integer | None
) -> tuple[State, Log]:
    """Look after look until t = target, until an outcome is met, until there were `limit` looks
    (None: no limit) or until more pairs slide than this program has code for; tolerances times
    `tail`."""
    few = setting.field.tiers[-1]

    def unfinished(carry) -> Flag:
        there = clock(carry[0])
        onwards = ((there.t < target) | ~there.settled) & (there.outcome == RUNNING)
        if few < setting.field.slots:
            onwards = onwards & (there.level <= setting.level)
        return onwards if limit is None else onwards & (there.steps < limit)

    def round_of(carry):
        now, log = carry
        now = now._replace(plan=_planned(setting, now))
        look = _look(setting, now, target, tail)
        follow = (after_step, after_look, after_pivot, after_stroke)
        branches: list[Callable[..., Any]] = [partial(step, setting) for step in follow]
        which = now.phase
        if few < setting.field.slots:
            branches.append(lambda n, _: in_place(n._replace(level=n.level + 1)))
            which = jnp.where(_next_mode(now).held > few, len(follow), which)
        later = stand(jax.lax.switch(which, branches, now, look), look)
        # The log is long: it stays outside the branches, which copy what they return.
        later = judge(setting, now, later, look.motion)
        return later, write(log, now.t, now.mode, later.mode)

    return jax.lax.while_loop(unfinished, round_of, (state, log))


def clock(state: State) -> Clock:
    """Where the flow stands; its steps are looks at the field, of which every round has one."""
    looks = state.counts.evaluations.astype(int)
    return Clock(state.t, state.outcome, looks, state.phase == STEP, state.level)


def _planned(setting: Setting, now: State) -> Plan:
    """The plan, and if a guess is to be made the one with that guess."""
    fix = setting.settle_at(now.here.flat, now.here.near)
    return jax.lax.cond(
        now.plan.turn == STAY,
        lambda _: now.plan,
        lambda _: turned(now.plan, now.mode, now.here, fix, setting.field.surfaces),
        None,
    )


def _look(setting: Setting, now: State, target: Scalar, tail: Scalar) -> Look:
    here, mode = now.here, now.mode
    if now.hunt is not None:
        target = jnp.minimum(target, now.hunt.bracket.aim())
    ahead, _ = next_crossing(mode.above, here.h, here.speed, ~(mode.sliding | here.near))
    wanted = jnp.where(now.cap < jnp.inf, now.cap, jnp.minimum(now.dt, REACH * ahead))
    last = now.t + 1.0001 * wanted >= target
    dt = jnp.where(last, target - now.t, wanted)
    spot = jnp.where(now.phase == LOOK, place(here, now.trial), here.flat)
    point, partial, motion = setting.field.look(
        setting.table, here.flat, here.velocity, _next_mode(now), dt, spot, now.phase == STEP
    )
    return Look(point, motion, partial, dt, last, target, tail)


def _next_mode(now: State) -> Mode:
    """The mode of the next look."""
    guessing = now.phase >= PIVOT
    return jax.tree.map(lambda a, b: jnp.where(guessing, a, b), now.plan.guess, now.mode)


def sliding_pairs(setting: Setting, state: State) -> tuple[Array, Array, Array]:
    """Sliding pairs per layer, the pairs in the slots (-1: none) and their gates."""
    layout = setting.field.layout
    counts = jnp.stack([jnp.sum(part) for part in layout.split(state.mode.sliding)])
    used = state.mode.slots < layout.pairs
    low, high = state.here.low, state.here.high
    gates = jnp.where(used, jnp.clip(low / (low + high), 0.0, 1.0), jnp.nan)
    return counts, jnp.where(used, state.mode.slots, -1), gates
