"""When an exact flow ends: budgets, stops, blow-up."""

import jax
import jax.numpy as jnp

from ..._results import Outcome
from ..._types import Array, Flag, Integer, Scalar
from ...networks.draws import frobenius
from ..loop.carry import RUNNING
from ..loop.stops import Hunt, begin_hunt, gaps_at, verdict, watched_stops
from .field import Motion
from .setting import Setting
from .state import STEP, State

STALLED = 500  # decisions in a row without progress


def judge(setting: Setting, before: State, now: State, motion: Motion) -> State:
    """The outcome after a look at the field, which showed `motion`, most serious last; stops are
    watched after steps, and where the flow starts once it is decided how."""
    numerics, now = setting.numerics, _hunted(setting, before, now)
    outcome = now.outcome
    running = outcome == RUNNING
    if now.hunt is not None:
        met = verdict(outcome, numerics.stops, now.hunt.gaps)
        outcome = jnp.where(running & _arrived(before, now), met, outcome)

    def rule(condition, found: Outcome) -> Integer:
        return jnp.where(condition & running, jnp.asarray(found.value, outcome.dtype), outcome)

    size, counts = frobenius(now.here.flat), now.counts
    steps = counts.accepted + counts.rejected + now.events.retried
    outcome = rule(steps.astype(int) >= numerics.max_steps, Outcome.MAX_STEPS)
    outcome = rule(now.stalled > STALLED, Outcome.EVENT_CASCADE)
    floor = 16 * jnp.finfo(now.t.dtype).eps * jnp.maximum(jnp.abs(now.t), now.first_dt)
    short, lost = ~(now.dt >= floor), ~jnp.all(jnp.isfinite(motion.velocity))
    outcome = rule(short, Outcome.STEP_UNDERFLOW)
    outcome = rule(short & lost, Outcome.NOT_FINITE)
    outcome = rule(~(size <= setting.limit), Outcome.BLOW_UP)
    return now._replace(outcome=outcome)


def first_hunt(setting: Setting, flat: Array, speed: Scalar) -> Hunt | None:
    """Before the first step; `speed`: the largest so far."""
    stops, field = setting.numerics.stops, setting.field
    if not watched_stops(stops):
        return None
    gaps = gaps_at(stops, field.problem.data, field.network(flat), speed, speed)
    return begin_hunt(gaps, setting.t0)


def _arrived(before: State, now: State) -> Flag:
    """After a step, or before the first one and settled."""
    starting = (now.counts.accepted == 0) & (now.phase == STEP)
    return (now.counts.accepted > before.counts.accepted) | starting


def _hunted(setting: Setting, before: State, now: State) -> State:
    """After a step, or back where it began with a bracket to step into: a stop was passed."""
    hunt, stops, field = before.hunt, setting.numerics.stops, setting.field
    if hunt is None:
        return now
    moved = _arrived(before, now)
    speed = frobenius(now.here.velocity)
    peak = now.peak_speed if stops.steady is None else jnp.maximum(now.peak_speed, speed)

    def look() -> Array:
        weights = field.network(now.here.flat)
        return gaps_at(stops, field.problem.data, weights, speed, peak)

    gaps, bracket = jax.lax.cond(moved, look, lambda: hunt.gaps), hunt.bracket
    gap = jnp.min(gaps)
    passed = moved & (gap <= 0) & (bracket.gap_low > 0) & ~bracket.found(now.t, gap)
    looked = bracket.moved(now.t, gap)
    pick = lambda flag, a, b: jax.tree.map(lambda x, y: jnp.where(flag, x, y), a, b)  # noqa: E731
    now = now._replace(peak_speed=peak, hunt=Hunt(gaps, pick(moved, looked, bracket)))
    # The look cost a step, which is not kept.
    counts = now.counts._replace(accepted=before.counts.accepted, rejected=now.counts.rejected + 1)
    back = before._replace(
        phase=jnp.full_like(before.phase, STEP),
        cap=jnp.full_like(before.cap, jnp.inf),
        missed=jnp.zeros_like(before.missed),
        counts=counts,
        events=before.events._replace(retried=now.events.retried),
        hunt=Hunt(hunt.gaps, looked),
    )
    return pick(passed, back, now)
