"""A flow from its first save time to its last, by one solver or two, differentiable."""

from typing import Any

from .._compiling import is_traced
from .._types import Times
from ..observables import AbstractObservable
from .automatic import by_its_solvers
from .flow import Flow
from .loop.course import solve_leg
from .loop.slices import Meter, in_slices, progress_told
from .loop.tolerance import settled
from .problem import FlowProblem, Numerics
from .sensitivity.door import differentiable
from .solution import FlowSolution


def solve(
    problem: FlowProblem,
    ts: Times,
    observables: dict[str, AbstractObservable],
    numerics: Numerics,
) -> FlowSolution:
    """`integrate` without checks: pure, so that it can be jitted, vmapped, lowered and
    differentiated.

    Of `solver = "auto"` it knows the beginning only: one program can't switch, so it is tsit5.
    """
    return differentiable(Flow(problem, ts, observables, numerics), in_one_leg)


def in_one_leg(flow: Flow) -> FlowSolution:
    return solve_leg(flow)[0]


def in_legs(flow: Flow, meter: Meter | None = None) -> FlowSolution:
    """In slices where nothing is traced; with `solver = "auto"` chosen on the way."""
    run_leg: Any = solve_leg
    if not is_traced(flow):
        flow = flow._replace(numerics=settled(flow.problem, flow.numerics))
        run_leg = lambda leg: in_slices(leg, progress_told(meter, leg))  # noqa: E731
    return by_its_solvers(flow, run_leg)
