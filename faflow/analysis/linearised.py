"""The flow of a rule's own state, linearised at one point."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._compiling import ONCE, compiled
from .._types import Array
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..rules import AbstractLearningRule
from ..rules.abstract import State
from ..tasks import Data


class Linearised(NamedTuple):
    """The flow of a rule's state (n,) at one point, and the residual there."""

    beside: tuple[Array, Array]  # the field at another point, at two times
    jacobian: Array  # of the field, (n, n)
    slope: Array  # of the residual, (its entries, n)
    moves: tuple[Array, Array]  # the field, and the field of targets that are met here
    residual: Array


@compiled(ONCE)
def linearised(
    state: State,
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
) -> Linearised:
    """dx/dt = V(x, t) at `state`: V, J = dV/dx and de/dx of the residual e, as one program."""
    flat, unravel = ravel_pytree(state)

    def velocity(x: Array, t: float = 0.0, on: Data = data) -> Array:
        moved = rule.velocity(jnp.asarray(t, flat.dtype), unravel(x), feedback, on)
        return ravel_pytree(moved)[0]

    def residual(x: Array) -> Array:
        return data.residual(data.outputs(rule.read(unravel(x), feedback, data)[0])).ravel()

    beside = 1.1 * flat + 0.1  # at rest nothing would tell the times apart
    met = eqx.tree_at(lambda d: d.targets, data, data.outputs(weights))
    return Linearised(
        (velocity(beside, 1.0), velocity(beside)),
        jax.jacfwd(velocity)(flat),
        jax.jacfwd(residual)(flat),
        (velocity(flat), velocity(flat, on=met)),
        residual(flat),
    )
