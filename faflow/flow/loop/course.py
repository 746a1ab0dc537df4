"""A flow of any solver as a `Course`, and run in one piece."""

from ..._types import Array, Times
from ...observables import AbstractObservable, KinkCounter
from ...solvers import BDF
from ..flow import Flow
from ..piecewise import exact_course
from ..problem import FlowProblem, Numerics
from ..solution import FlowSolution
from .carry import Carry, Standing, standing, steps_of
from .multistep import MultistepStepper
from .recording import Clock, Course, Watched, ended
from .stepping import Stepper


def solve(
    problem: FlowProblem,
    ts: Times,
    observables: dict[str, AbstractObservable],
    numerics: Numerics,
) -> FlowSolution:
    """`integrate` without checks: pure, so that it can be jitted, vmapped and lowered.

    Of `solver = "auto"` it knows the beginning only: one program can't switch, so it is tsit5.
    """
    return solve_leg(Flow(problem, ts, observables, numerics))[0]


def solve_leg(flow: Flow) -> tuple[FlowSolution, Standing | None]:
    """`solve`, or its part for one of two solvers.

    Slots of saves up to `flow.since` are empty; the outcome is STIFF (none of `Outcome`) where it
    ended to be handed over.
    """
    return course(flow).whole(flow.ts)


def course(flow: Flow, *, level: int | None = None) -> Course:
    """`solve_leg` in parts.

    `level`: of the program that they are for, one of several that a flow can ask for as it goes,
    short ones first; None: for all of the flow at once.
    """
    problem, ts, observables, numerics, since, demand = flow
    if numerics.kinks == "exact":
        return exact_course(flow, level)
    stepper = one_step = Stepper(problem, numerics, ts[0], ts[-1], since, demand)
    if isinstance(method := numerics.build_solver(), BDF):
        stepper = MultistepStepper(one_step, method)

    def observe(state: Array):
        weights, feedback = one_step.flat.read(state)
        seen = {name: see(weights, feedback, problem.data) for name, see in observables.items()}
        return seen | one_step.flat.forecasts(state)

    def finish(end: Carry) -> tuple[FlowSolution, Standing]:
        weights, feedback = one_step.flat.read(end.state)
        solution = FlowSolution(
            ts=ts[:0],
            reached=ts[:0],
            records={},
            weights=weights,
            feedback=feedback,
            t_final=end.t,
            counts=end.counts,
            counts_at=end.counts,
            kinks=None if end.kinks is None else KinkCounter().summary(end.kinks),
            outcome=ended(end.outcome),
            corrected=end.solver_state.corrected if numerics.project else None,
        )
        return solution, standing(end)

    return Course(
        start=stepper.init,
        hold=one_step.hold,
        advance=stepper.advance,
        clock=lambda carry: Clock(carry.t, carry.outcome, steps_of(carry.counts)),
        state=lambda carry: carry.state,
        observe=observe,
        watch=lambda carry: Watched(carry.counts),
        finish=finish,
        records=bool(observables) or one_step.flat.forecasting,
        since=None if since is None else since.t,
    )
