"""When an exact flow ends: budgets, stops, blow-up."""

import jax
import jax.numpy as jnp

from ..._results import Outcome
from ..._types import Integer, Scalar
from ...networks.draws import frobenius
from ..stepping import RUNNING
from .field import Field
from .setting import Setting
from .state import State

STALLED = 500  # decisions in a row without progress


def judge(setting: Setting, before: State, now: State) -> State:
    """The outcome after a look at the field, most serious last; stops are watched after steps."""
    field, numerics = setting.field, setting.numerics
    moved = now.counts.accepted > before.counts.accepted
    stops, verdict, peak = numerics.stops, now.outcome, now.peak_speed

    def rule(condition, outcome: Outcome) -> Integer:
        hit = condition & (now.outcome == RUNNING)
        return jnp.where(hit, jnp.asarray(outcome.value, verdict.dtype), verdict)

    size = frobenius(now.here.flat)
    if stops.steady is not None:
        speed = frobenius(now.here.velocity)
        peak = jnp.maximum(peak, speed)
        verdict = rule(moved & (speed <= stops.steady * peak), Outcome.STEADY_STATE)
    if stops.loss is not None or stops.residual is not None:
        loss, residual = jax.lax.cond(
            moved, lambda _: _misfit(field, now), lambda _: (jnp.inf * size, jnp.inf * size), None
        )
        if stops.loss is not None:
            verdict = rule(loss <= stops.loss, Outcome.TARGET_REACHED)
        if stops.residual is not None:
            verdict = rule(residual <= stops.residual, Outcome.TARGET_REACHED)
    counts = now.counts
    steps = counts.accepted + counts.rejected + now.events.retried
    verdict = rule(steps.astype(int) >= numerics.max_steps, Outcome.MAX_STEPS)
    verdict = rule(now.stalled > STALLED, Outcome.EVENT_CASCADE)
    floor = 16 * jnp.finfo(now.t.dtype).eps * jnp.maximum(jnp.abs(now.t), now.first_dt)
    verdict = rule(~(now.dt >= floor), Outcome.STEP_UNDERFLOW)
    verdict = rule(~(size <= setting.limit), Outcome.BLOW_UP)
    return now._replace(outcome=verdict, peak_speed=peak)


def _misfit(field: Field, now: State) -> tuple[Scalar, Scalar]:
    data = field.problem.data
    outputs = field.network(now.here.flat)(data.inputs)
    return data.value(outputs), frobenius(data.residual(outputs))
