"""One explicit Runge-Kutta step with diffrax's tableaus, last stage left to the caller."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Flag, Scalar
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


class Stages(NamedTuple):
    """`point`: where the field was looked at last, `seen` what was there; `slopes` (stages,
    weights): the stages of a step, the last one's at the point."""

    point: Array
    slopes: Array
    seen: Any


def looks(
    table: Tableau,
    field: Callable[[Array], tuple[Array, Any]],
    start: Array,
    first: Array,
    dt: Scalar,
    place: Array,
    stepping: Flag,
) -> Stages:
    """The stages of a step of size `dt` from `start`, the last at its end; or, unless `stepping`,
    one look at `place`.

    `field(point)`: the slope and whatever else is to be known of the last point. `first`: the slope
    at the start.
    """
    last = len(table.weights) - 1
    lower = jnp.asarray(np.array([*table.lower[:last], (*table.weights[:last], 0.0)]))

    def stage(now):
        number, slopes, _, _ = now
        point = jnp.where(stepping, start + dt * (lower[number] @ slopes), place)
        slope, seen = field(point)
        slopes = jax.lax.dynamic_update_index_in_dim(slopes, slope, number, 0)
        return number + 1, slopes, point, seen

    shapes = jax.eval_shape(field, start)[1]
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    number = jnp.where(stepping, 1, last).astype(jnp.int32)
    slopes = jnp.zeros((last + 1, start.size)).at[0].set(first)
    _, slopes, point, seen = jax.lax.while_loop(
        lambda now: now[0] <= last, stage, (number, slopes, start, blank)
    )
    return Stages(point, slopes, seen)


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
