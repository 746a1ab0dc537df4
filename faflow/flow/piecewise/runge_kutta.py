"""One explicit Runge-Kutta step with diffrax's tableaus, last stage left to the caller."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Scalar
from ...solvers import Method


class Tableau(NamedTuple):
    """An embedded pair whose last stage is the field at the end of the step.

    `lower` (stages, stages), `weights` (stages,) of the solution, `error` (stages,) of the
    difference to the embedded solution, `order` of the error estimate.
    """

    lower: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    error: tuple[float, ...]
    order: int


def tableau_of(solver: Method) -> Tableau:
    """Raises ValueError unless the last stage is the field at the end of the step."""
    table: Any = getattr(solver, "tableau", None)
    if not isinstance(solver, diffrax.AbstractERK) or table is None or not table.fsal:
        raise ValueError(
            "Exact integration needs an explicit pair whose last stage is the end of the step "
            "(bosh3, tsit5, dopri5, dopri8)."
        )
    lower = np.zeros((table.num_stages, table.num_stages))
    for i, row in enumerate(table.a_lower, start=1):
        lower[i, : len(row)] = row
    order = int(solver.order(diffrax.ODETerm(lambda t, y, args: y)) or 1)
    rows = tuple(map(tuple, lower.tolist()))
    return Tableau(rows, _numbers(table.b_sol), _numbers(table.b_error), order)


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(np.asarray(values).tolist())


def inner_stages(
    table: Tableau, field: Callable[[Array], Array], start: Array, first: Array, dt: Scalar
) -> tuple[Array, Array]:
    """The end of the step and the stages but the last, (stages - 1, weights)."""
    count = len(table.weights) - 1
    lower = jnp.asarray([row[:count] for row in table.lower[:count]])

    def stage(i, ks):
        return ks.at[i].set(field(start + dt * (lower[i] @ ks)))

    ks = jnp.zeros((count, start.size)).at[0].set(first)
    ks = jax.lax.fori_loop(1, count, stage, ks)
    return start + dt * (jnp.asarray(table.weights[:count]) @ ks), ks


def hermite(start: Array, first: Array, end: Array, last: Array, dt: Scalar, theta: Scalar):
    """The cubic through both ends with the field as slopes, at start + theta * dt."""
    rise = end - start
    bend = 3 * rise - dt * (2 * first + last)
    twist = dt * (first + last) - 2 * rise
    return start + theta * (dt * first + theta * (bend + theta * twist))


def hermite_slope(start: Array, first: Array, end: Array, last: Array, dt: Scalar, theta: Scalar):
    """Its derivative by time."""
    rise = (end - start) / dt
    bend = 3 * rise - (2 * first + last)
    twist = (first + last) - 2 * rise
    return first + theta * (2 * bend + 3 * theta * twist)
