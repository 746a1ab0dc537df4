"""A step of an explicit Runge-Kutta method, as a function of where it starts."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Scalar
from ...solvers import ExplicitTableau, Method, as_tableau


def explicit(method: Method) -> ExplicitTableau | None:
    """The tableau of an explicit Runge-Kutta method; None for any other."""
    if isinstance(method, diffrax.Euler):
        return as_tableau("euler")
    if isinstance(method, diffrax.AbstractERK):
        tableau: Any = method.tableau
        return as_tableau(tableau)
    return None


def explicit_step(field: Any, tableau: ExplicitTableau, t: Scalar, h: Scalar, y: Array) -> Array:
    """One step of size h; its stages are one loop, and the field stands once in the program."""
    a, b = np.asarray(tableau.a), np.asarray(tableau.b)
    stages = len(b)

    def stage(slopes: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
        weights, c, i = row
        slope = field(t + c * h, y + h * (weights @ slopes))
        return jax.lax.dynamic_update_index_in_dim(slopes, slope, i, 0), None

    rows = (jnp.asarray(a, y.dtype), jnp.asarray(a.sum(1), y.dtype), jnp.arange(stages))
    slopes, _ = jax.lax.scan(stage, jnp.zeros((stages, y.size), y.dtype), rows)
    return y + h * (jnp.asarray(b, y.dtype) @ slopes)
