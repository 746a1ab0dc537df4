"""How a flow ends on the way: what a step tells of steps to come."""

import jax.numpy as jnp

from ..._results import Outcome
from ..._types import Array, Flag, Integer, Scalar
from ...solvers import Demand
from ..problem import FlowProblem, Numerics, blow_up_size, first_size
from .carry import RUNNING, STIFF, Carry
from .moment import resolution
from .stops import verdict

GROWN = 10  # times as large as at the start: weights that are growing
UNDERFLOW = 16  # a step below this many units in the last place of t makes no progress


def judge_step(now: Carry, problem: FlowProblem, numerics: Numerics, t1: Scalar) -> Carry:
    """The outcome after a step, most serious last."""
    outcome, counts = now.outcome, now.counts
    if now.hunt is not None:
        outcome = verdict(outcome, numerics.stops, now.hunt.gaps)

    def decide(condition: Flag, found: Outcome | Array) -> Integer:
        return jnp.where(condition, jnp.asarray(found, outcome.dtype), outcome)

    unfinished = now.t < t1
    steps = counts.accepted + counts.rejected
    outcome = decide(unfinished & (steps >= numerics.max_steps), Outcome.MAX_STEPS)
    floor = UNDERFLOW * resolution(jnp.maximum(jnp.abs(now.t), now.first_dt), now.lost)
    outcome = decide(unfinished & ~(now.dt >= floor), Outcome.STEP_UNDERFLOW)
    outcome = decide((outcome == Outcome.STEP_UNDERFLOW) & now.broken, Outcome.NOT_FINITE)
    outcome = decide(_escaping(now, floor, problem, numerics), Outcome.BLOW_UP)
    return now._replace(outcome=outcome)


def why_stuck(now: Carry, finite: Flag, problem: FlowProblem) -> Array:
    """Of a fixed step that failed. Weights that were growing have gone on to do so; others have
    met a field that is no number."""
    growing = now.size > GROWN * (1 + first_size(problem))
    lost = jnp.where(growing, Outcome.BLOW_UP.value, Outcome.NOT_FINITE.value)
    return jnp.where(finite, Outcome.SOLVER_FAILED.value, lost)


def _escaping(now: Carry, floor: Scalar, problem: FlowProblem, numerics: Numerics) -> Flag:
    # Escape at a finite time T goes like (T - t)^{-p}; with small p (deep nets) the weights are
    # still moderate when t can resolve no smaller step. What tells escape from chatter then is
    # the time to change by its own size, ||W|| / ||W'||, falling with the step.
    limit, size = blow_up_size(problem, numerics), now.size
    rushing = (now.dt < floor) & (size < 1e4 * floor * now.pace.speed)
    return (size > limit) | ~jnp.isfinite(size) | (rushing & (size > first_size(problem)))


def handed_on(now: Carry, demand: Demand | None) -> Carry:
    """The outcome STIFF, if enough steps said that the flow is for another solver."""
    if now.watch is None or demand is None:
        return now
    stiff = (now.watch.votes >= demand.steps) & (now.outcome == RUNNING)
    return now._replace(outcome=jnp.where(stiff, STIFF, now.outcome))
