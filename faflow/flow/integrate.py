"""Integrate a learning flow and evaluate observables on the way."""

from collections.abc import Mapping
from contextlib import suppress

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.errors import ConcretizationTypeError
from jax.typing import ArrayLike

from .._compiling import is_traced
from .._results import Outcome
from ..observables import AbstractObservable
from .flow import Flow
from .loop.programs import kept_programs
from .loop.slices import Meter
from .piecewise import check_exact
from .problem import FlowProblem, Numerics
from .projection import check_projection
from .sensitivity.door import differentiable
from .served import check_implicit
from .solution import FlowError, FlowSolution
from .whole import in_legs

Observables = Mapping[str, AbstractObservable]


def integrate(
    problem: FlowProblem,
    ts: ArrayLike,
    observables: Observables,
    numerics: Numerics | None = None,
    *,
    throw: bool = True,
    meter: Meter | None = None,
) -> FlowSolution:
    """Integrate d(weights)/dt from ts[0] to ts[-1] and record the observables at every ts.

    ts (saves,): increasing; the solver steps onto each of them, so that a record is as exact as a
    step. One compiled program per (rule, shapes, solver, observables): data, weights, times and
    tolerances are traced. Raises ValueError for times that do not increase, FlowError if the flow
    ended early and `throw` (the error holds the solution; under jit or vmap `outcome` tells).
    float64 has to be switched on by the caller (`jax.config.update("jax_enable_x64", True)`)
    before any array is made. With `kinks =
    "exact"` ValueError too if the rule, activation or solver is not served. A rule with forecasts
    (`faflow.rules.Forecast`) records them too, as `<law>_forecast`. With `solver = "auto"` it is
    chosen on the way (`faflow.flow.automatic`), and `legs` tells which and why.

    `meter` is told from time to time how much of the flow is done, 0 to 1 (`faflow.Bar` shows it);
    under jit or vmap it is not. Compiled programs are kept on disk (`faflow.flow.loop.programs`).
    """
    numerics = Numerics() if numerics is None else numerics
    check_times(ts)
    if numerics.kinks == "exact":
        check_exact(problem, numerics)
    else:
        check_implicit(problem, numerics, numerics.build_solver())
    if numerics.project:
        check_projection(problem, numerics)
    flow = Flow(problem, jnp.asarray(ts, float), dict(observables), numerics)
    with kept_programs():
        solution = differentiable(flow, in_legs) if is_traced(flow) else in_legs(flow, meter)
    if throw and ended_early(solution):
        raise FlowError(solution)
    return solution


def ended_early(solution: FlowSolution) -> bool:
    """Whether one flow did, where that is known: not inside another program."""
    if np.ndim(solution.outcome):
        return False
    with suppress(ConcretizationTypeError):
        return Outcome(int(solution.outcome)).early
    return False


def check_times(ts: ArrayLike) -> None:
    """Raise ValueError unless ts is a strictly increasing, finite sequence; traced times pass."""
    if isinstance(ts, Tracer):
        return
    times = np.asarray(ts)
    if times.ndim != 1 or times.size < 2 or not np.all(np.isfinite(times)):
        raise ValueError(f"Argument `ts` must hold at least two finite times, but is {times}.")
    if not np.all(np.diff(times) > 0):
        raise ValueError("Argument `ts` must increase strictly, but does not; sort it.")
