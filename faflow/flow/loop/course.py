"""A flow of any solver as a `Course`, and run in one piece."""

from ..._types import Array
from ...observables import KinkCounter
from ...solvers import BDF, Adams
from ..flow import Flow
from ..piecewise import exact_course
from ..solution import FlowSolution
from .adams import AdamsStepper
from .carry import Carry, Standing, standing, steps_of
from .multistep import MultistepStepper
from .recording import Clock, Course, Watched, ended
from .stepping import Stepper


def solve_leg(flow: Flow) -> tuple[FlowSolution, Standing | None]:
    """A flow in one piece, or its part for one of two solvers.

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
    elif isinstance(method, Adams):
        stepper = AdamsStepper(one_step)

    def observe(state: Array):
        return one_step.flat.seen(observables, state)

    def finish(end: Carry) -> tuple[FlowSolution, Standing]:
        weights, feedback = one_step.flat.read_end(end.state)
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
        records=bool(observables) or one_step.flat.tells_more,
        since=None if since is None else since.t,
    )
