"""Through which every traced flow goes: what JAX's transformations make of it."""

from collections.abc import Callable

from ..flow import Flow
from ..solution import FlowSolution
from .forward import forward

Run = Callable[[Flow], FlowSolution]


def differentiable(flow: Flow, run: Run) -> FlowSolution:
    """run(flow), with the derivatives that its numerics name."""
    return forward(flow, run)
