"""What implicit solvers can't serve, said before a flow starts."""

import os

import diffrax
import jax
import jax.numpy as jnp

from ..solvers import BDF, Method
from .problem import FlowProblem, Numerics

COPIES = 5  # of the Jacobian that are alive at once


def check_implicit(problem: FlowProblem, numerics: Numerics, method: Method) -> None:
    """Raise ValueError unless the method, a BDF or an implicit Runge-Kutta method, can serve the
    problem: its equations need a smooth field, a dense Jacobian has to fit into memory, and a BDF
    chooses its steps. Other methods are served."""
    if not isinstance(method, BDF | diffrax.AbstractImplicitSolver):
        return
    if isinstance(method, BDF) and numerics.step is not None:
        raise ValueError("A BDF chooses its steps; leave `step` out or use tsit5 or heun.")
    refuse_kinks(problem)
    refuse_size(problem, method)


def refuse_kinks(problem: FlowProblem) -> None:
    network = problem.weights
    if network.activation.kinked and len(network.weights) > 1:
        raise ValueError(
            f"Implicit solvers need a smooth field, but {type(network.activation).__name__} has a "
            "kink; use heun or bosh3, kinks = 'exact', or gated-relu."
        )


def refuse_size(problem: FlowProblem, method: BDF | diffrax.AbstractImplicitSolver) -> None:
    state = jax.eval_shape(problem.rule.init, problem.weights, problem.feedback, problem.data)
    size = sum(leaf.size for leaf in jax.tree.leaves(state))
    if isinstance(method, BDF) and not method.may_be_dense(size):
        return
    need = COPIES * size**2 * jnp.asarray(0.0, float).dtype.itemsize
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > room:
        raise ValueError(
            f"The Jacobian of {size} weights and its factors need {need / 2**30:.3g} GiB, and "
            f"there are {room / 2**30:.3g}; use bdf-krylov, which stores no matrix."
        )
