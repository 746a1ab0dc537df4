"""What implicit solvers can't serve, said before a flow starts."""

import diffrax

from ..networks import AbstractLayeredNetwork, is_kinked
from ..solvers import BDF, Adams, Method
from .memory import jacobian_bytes, room, state_size
from .problem import FlowProblem, Numerics


def check_implicit(problem: FlowProblem, numerics: Numerics, method: Method) -> None:
    """Raise ValueError unless the method, a BDF or an implicit Runge-Kutta method, can serve the
    problem: its equations need a smooth field, a dense Jacobian has to fit into memory, and a BDF
    chooses its steps. Other methods are served."""
    if isinstance(method, BDF | Adams) and numerics.step is not None:
        name = type(method).__name__
        raise ValueError(f"{name} chooses its steps; leave `step` out or use tsit5 or heun.")
    if not isinstance(method, BDF | diffrax.AbstractImplicitSolver):
        return
    refuse_kinks(problem)
    refuse_size(problem, method)


def refuse_kinks(problem: FlowProblem) -> None:
    network = problem.weights
    if is_kinked(network, problem.data.inputs):
        layered = isinstance(network, AbstractLayeredNetwork)
        kind = type(network.activation if layered else network.module).__name__
        remedy = "use heun or bosh3, kinks = 'exact', or gated-relu" if layered else "use tsit5"
        raise ValueError(f"Implicit solvers need a smooth field, but {kind} has a kink; {remedy}.")


def refuse_size(problem: FlowProblem, method: BDF | diffrax.AbstractImplicitSolver) -> None:
    need, there = jacobian_bytes(problem, method), room()
    if need > there:
        raise ValueError(
            f"The Jacobian of {state_size(problem)} weights and its factors need "
            f"{need / 2**30:.3g} GiB, and there are {there / 2**30:.3g}; use bdf-krylov, which "
            "stores no matrix."
        )
