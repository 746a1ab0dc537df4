"""What has no derivative, said in one line."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.interpreters.partial_eval import JaxprTracer

from ..._results import Outcome
from ..._types import Array
from ...networks import is_kinked
from ..flow import Flow
from ..solution import FlowSolution
from .explicit import explicit


def check_smooth(flow: Flow, moves: Any) -> None:
    """Raise ValueError for derivatives that a flow does not have. `moves`: what is differentiated,
    None elsewhere."""
    problem = flow.problem
    if any(isinstance(leaf, JaxprTracer) for leaf in jax.tree.leaves(moves)):
        raise ValueError(
            "Argument `numerics` must name an `adjoint` for derivatives backwards (jax.grad); set "
            "Numerics(adjoint = 'checkpointed'), or use jax.jvp or jax.jacfwd."
        )
    if jax.tree.leaves((moves.numerics, moves.since, moves.demand)):
        raise ValueError(
            "Argument `numerics` must stand still under a derivative, but one with respect to its "
            "numbers (tolerances, steps, stops) was asked for; differentiate the problem or `ts`."
        )
    if is_kinked(problem.weights, problem.data.inputs):
        raise ValueError(
            "A derivative through kinks jumps at every crossing, which steps do not see; use "
            "faflow.sensitivity.across_kinks, or an activation without kinks."
        )


def check_reverse(flow: Flow) -> None:
    """Raise ValueError for flows that can't be gone back along."""
    numerics = flow.numerics
    if numerics.project:
        raise ValueError(
            "Argument `numerics` must not project a flow that is differentiated backwards; leave "
            "out `project` or take a forward derivative (adjoint = None)."
        )
    if numerics.adjoint == "checkpointed" and explicit(numerics.build_solver()) is None:
        raise ValueError(
            "adjoint = 'checkpointed' goes back along steps of an explicit Runge-Kutta method, but "
            f"the solver is {numerics.solver}; use tsit5, adjoint = 'backsolve' or a forward "
            "derivative."
        )


def whole(solution: FlowSolution) -> Array:
    """1 if the flow came to its last save time, nan if not, where it can't be said.

    Raises ValueError if it can: the derivative at a time that moves itself is another one.
    """
    outcome = solution.outcome
    if isinstance(outcome, Tracer) or np.ndim(outcome):
        return jnp.where(outcome == Outcome.COMPLETED, 1.0, jnp.nan)
    if int(outcome) != Outcome.COMPLETED:
        raise ValueError(
            f"A derivative needs a flow that reaches the last of `ts`, but this one ended at "
            f"t = {float(solution.t_final):g}: {Outcome(int(outcome)).message}; shorten `ts` or "
            "leave out stops."
        )
    return jnp.ones(())
