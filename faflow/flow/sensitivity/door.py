"""Through which every traced flow goes: what JAX's transformations make of it."""

from collections.abc import Callable
from dataclasses import replace

from ..flow import Flow
from ..solution import FlowSolution
from .forward import forward
from .reverse import reverse

Run = Callable[[Flow], FlowSolution]


def differentiable(flow: Flow, run: Run) -> FlowSolution:
    """run(flow), with the derivatives that its numerics name; backwards "auto" is tsit5."""
    numerics = flow.numerics
    if numerics.adjoint is None:
        return forward(flow, run)
    if isinstance(numerics.solver, str) and numerics.solver == "auto":
        flow = flow._replace(numerics=replace(numerics, solver="tsit5"))
    return reverse(flow, run)
