"""Integrate a learning flow and evaluate observables on the way."""

from collections.abc import Mapping

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._results import Outcome
from .._types import Times
from ..observables import AbstractObservable
from ..solvers import BDF, Demand
from .automatic import choose_on_the_way, is_automatic
from .carry import Carry, Standing, standing
from .multistep import MultistepStepper
from .piecewise import check_exact, exact_course
from .problem import FlowProblem, Numerics
from .projection import check_projection
from .recording import Course, Row, ended, to_next_save
from .served import check_implicit
from .solution import FlowError, FlowSolution
from .stepping import Stepper

Observables = Mapping[str, AbstractObservable]


def integrate(
    problem: FlowProblem,
    ts: ArrayLike,
    observables: Observables,
    numerics: Numerics | None = None,
    *,
    throw: bool = True,
    meter: diffrax.AbstractProgressMeter | None = None,
) -> FlowSolution:
    """Integrate d(weights)/dt from ts[0] to ts[-1] and record the observables at every ts.

    ts (saves,): increasing; the solver steps onto each of them, so that a record is as exact as a
    step. One compiled program per (rule, shapes, solver, observables): data, weights, times and
    tolerances are traced. Raises ValueError for times that do not increase, FlowError if the flow
    ended early and `throw` (the error holds the solution). float64 has to be switched on by the
    caller (`jax.config.update("jax_enable_x64", True)`) before any array is made. With `kinks =
    "exact"` ValueError too if the rule, activation or solver is not served. A rule with forecasts
    (`faflow.rules.forecast`) records them too, as `<law>_forecast`. With `solver = "auto"` it
    is chosen on the way (`faflow.flow.automatic`), and `legs` tells which and why.
    """
    numerics = Numerics() if numerics is None else numerics
    check_times(ts)
    if numerics.kinks == "exact":
        check_exact(problem, numerics)
    else:
        check_implicit(problem, numerics, numerics.build_solver())
    if numerics.project:
        check_projection(problem, numerics)
    meter = diffrax.NoProgressMeter() if meter is None else meter
    arguments = (problem, jnp.asarray(ts, float), dict(observables), numerics, meter)
    if is_automatic(numerics):
        solution = choose_on_the_way(*arguments, run_leg=compiled_leg)
    else:
        solution = compiled_solve(*arguments)
    if throw and np.ndim(solution.outcome) == 0 and Outcome(int(solution.outcome)).early:
        raise FlowError(solution)
    return solution


def check_times(ts: ArrayLike) -> None:
    """Raise ValueError unless ts is a strictly increasing, finite sequence."""
    times = np.asarray(ts)
    if times.ndim != 1 or times.size < 2 or not np.all(np.isfinite(times)):
        raise ValueError(f"Argument `ts` must hold at least two finite times, but is {times}.")
    if not np.all(np.diff(times) > 0):
        raise ValueError("Argument `ts` must increase strictly, but does not; sort it.")


def solve(
    problem: FlowProblem,
    ts: Times,
    observables: dict[str, AbstractObservable],
    numerics: Numerics,
    meter: diffrax.AbstractProgressMeter,
) -> FlowSolution:
    """`integrate` without checks: pure, so that it can be jitted, vmapped and lowered.

    Of `solver = "auto"` it knows the beginning only: one program can't switch, so it is tsit5.
    """
    return solve_leg(problem, ts, observables, numerics, meter)[0]


def solve_leg(
    problem: FlowProblem,
    ts: Times,
    observables: dict[str, AbstractObservable],
    numerics: Numerics,
    meter: diffrax.AbstractProgressMeter,
    since: Standing | None = None,
    demand: Demand | None = None,
) -> tuple[FlowSolution, Standing | None]:
    """`solve` from where another solver left the flow, or up to where another one should go on.

    `since`, `demand` as in `Stepper`. Slots of saves up to `since` are empty; the outcome is STIFF
    (none of `Outcome`) where it ended to be handed over.
    """
    return course(problem, ts, observables, numerics, meter, since, demand).whole(ts)


def course(
    problem: FlowProblem,
    ts: Times,
    observables: dict[str, AbstractObservable],
    numerics: Numerics,
    meter: diffrax.AbstractProgressMeter,
    since: Standing | None = None,
    demand: Demand | None = None,
) -> Course:
    """`solve_leg` in parts, by `Course`."""
    if numerics.kinks == "exact":
        return exact_course(problem, ts, observables, numerics, meter)
    stepper = flow = Stepper(problem, numerics, ts[0], ts[-1], meter, since, demand)
    if isinstance(method := numerics.build_solver(), BDF):
        stepper = MultistepStepper(flow, method)

    def observe(carry: Carry):
        weights, feedback = flow.read(carry.state)
        seen = {name: see(weights, feedback, problem.data) for name, see in observables.items()}
        return seen | flow.forecasts(carry.state)

    segment = to_next_save(
        advance=stepper.advance,
        clock=lambda carry: (carry.t, carry.outcome),
        observe=observe,
        watch=lambda carry: carry.counts,
        since=None if since is None else since.t,
    )

    def finish(end: Carry, rows: Row) -> tuple[FlowSolution, Standing]:
        meter.close(end.meter)
        weights, feedback = flow.read(end.state)
        solution = FlowSolution(
            ts=rows.time,
            reached=rows.reached,
            records=rows.records,
            weights=weights,
            feedback=feedback,
            t_final=end.t,
            counts=end.counts,
            counts_at=rows.watched,
            kinks=None if end.kinks is None else flow.kink_counter.summary(end.kinks),
            outcome=ended(end.outcome),
            corrected=end.solver_state.corrected if numerics.project else None,
        )
        return solution, standing(end)

    return Course(stepper.init, segment, finish)


compiled_solve = eqx.filter_jit(solve)
compiled_leg = eqx.filter_jit(solve_leg)
