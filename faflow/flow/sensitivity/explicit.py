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


def explicit_step(
    field: Any, tableau: ExplicitTableau, t: Scalar, h: Scalar, y: Array
) -> tuple[Array, Array]:
    """y a step of size h later, and the stages' slopes (stages, n)."""
    a, b, c, numbers = _arrays(tableau)

    def stage(slopes: Array, i: Array) -> tuple[Array, None]:
        slope = field(t + c[i] * h, y + h * (a[i] @ slopes))
        return jax.lax.dynamic_update_index_in_dim(slopes, slope, i, 0), None

    slopes, _ = jax.lax.scan(stage, jnp.zeros((len(b), y.size), y.dtype), numbers)
    return y + h * (b @ slopes), slopes


def transposed_step(
    field: Any,
    tableau: ExplicitTableau,
    t: Scalar,
    h: Scalar,
    y: Array,
    slopes: Array,
    values: list[Array],
    adjoint: Array,
    by_values: list[Array],
) -> tuple[Array, list[Array]]:
    """(dy'/dy)^T lambda, and `by_values` + (dy'/dp)^T lambda, y' a step of field(t, y, p).

    Stage j, last first: mu_j = (dv/dy)^T kappa_j, kappa_j = h (b_j lambda + sum_{i>j} a_ij mu_i);
    and lambda + sum_j mu_j in the end.
    """
    a, b, c, numbers = _arrays(tableau)

    def stage(now: tuple[Array, list[Array]], j: Array) -> tuple[tuple[Array, list[Array]], None]:
        pulls, by_values = now
        kappa = h * (b[j] * adjoint + a[:, j] @ pulls)
        there = y + h * (a[j] @ slopes)
        _, pull = jax.vjp(lambda y, p: field(t + c[j] * h, y, p), there, values)
        mu, more = pull(kappa)
        pulls = jax.lax.dynamic_update_index_in_dim(pulls, mu, j, 0)
        return (pulls, jax.tree.map(jnp.add, by_values, more)), None

    start = (jnp.zeros_like(slopes), by_values)
    (pulls, by_values), _ = jax.lax.scan(stage, start, numbers, reverse=True)
    return adjoint + jnp.sum(pulls, axis=0), by_values


def _arrays(tableau: ExplicitTableau) -> tuple[Array, Array, Array, Array]:
    """a, b, c and the stages' numbers."""
    a = np.asarray(tableau.a)
    return jnp.asarray(a), jnp.asarray(tableau.b), jnp.asarray(a.sum(1)), jnp.arange(len(a))
