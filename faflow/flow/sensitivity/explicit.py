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
    """y a step of size h later."""
    rows = np.asarray(tableau.a)
    a, b, c = jnp.asarray(rows), jnp.asarray(tableau.b), jnp.asarray(rows.sum(1))

    def stage(slopes: Array, i: Array) -> tuple[Array, None]:
        slope = field(t + c[i] * h, y + h * (a[i] @ slopes))
        return jax.lax.dynamic_update_index_in_dim(slopes, slope, i, 0), None

    slopes, _ = jax.lax.scan(stage, jnp.zeros((len(rows), y.size), y.dtype), jnp.arange(len(rows)))
    return y + h * (b @ slopes)
