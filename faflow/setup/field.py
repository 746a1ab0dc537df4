"""A rule's field at the start: its shape, and whether it is a number at all."""

import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import ONCE, compiled, shapes
from ..flow import FlowProblem
from ..rules import weight_velocity

MISFIT = "velocity has not the shape of the state"


def fits(problem: FlowProblem) -> bool:
    """Whether the rule's velocity has the shape of its state. Raises whatever the rule raises."""
    state, velocity = shapes(_fields, problem)
    if jax.tree.structure(state) != jax.tree.structure(velocity):
        return False
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(velocity), strict=True)
    return all(a.shape == b.shape for a, b in pairs)


def _fields(problem: FlowProblem):
    weights, feedback, data = problem.weights, problem.feedback, problem.data
    state = problem.rule.init(weights, feedback, data)
    return state, problem.rule.velocity(jnp.zeros(()), state, feedback, data)


@compiled(ONCE)
def loss_and_velocity(problem: FlowProblem):
    """The loss and (d weights / dt, d feedback / dt) at t = 0."""
    weights, feedback, data = problem.weights, problem.feedback, problem.data
    return data.value(data.outputs(weights)), weight_velocity(problem.rule, weights, feedback, data)


def finite(tree) -> bool:
    """Whether every number of a pytree is."""
    return all(bool(np.all(np.isfinite(np.asarray(leaf)))) for leaf in jax.tree.leaves(tree))
