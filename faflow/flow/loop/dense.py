"""What a multistep method keeps of a dense Jacobian from step to step."""

from typing import NamedTuple

import jax.numpy as jnp

from ..._types import Array, Integer, Scalar

AGE = 50  # accepted steps that a Jacobian may serve


class Dense(NamedTuple):
    """J, the factor of 1 - c J, the c it belongs to, and the accepted steps since J was taken."""

    jacobian: Array
    factor: tuple[Array, Array]
    c: Scalar
    age: Integer


def nothing_yet(size: int, like: Scalar) -> Dense:
    """No Jacobian, and too old."""
    blank = jnp.zeros((size, size), like.dtype)
    return Dense(blank, (blank, jnp.zeros(size, jnp.int32)), like, jnp.asarray(AGE + 1))
