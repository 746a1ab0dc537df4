"""Adams' methods in variable steps and orders 1 to 12, on flat states: predict, evaluate, correct,
evaluate (Shampine & Gordon 1975; Hairer, Norsett & Wanner 1993, section III.5).

The slope's polynomial through f at t, t - grid_1, t - grid_2, ... is kept in the modified divided
differences F_0, F_1, ... of Krogh. With h the step, r_i = h + grid_i, beta_j = prod_{i<j} r_i /
grid_{i+1} and b_j(s) = prod_{i<j} (s h + grid_i) / r_i, order k predicts

    p = y + h sum_{j<k} g_j beta_j F_j,   g_j = int_0^1 b_j ds,   slope' = sum_{j<k} beta_j F_j,

corrects y1 = p + h g_k (f(p) - slope'), which is exact for one degree more, and evaluates f(y1) for
the differences of the next step. Any step may follow any other; nothing is interpolated. The
integrals are taken by Gauss's rule of seven points, which is exact for their degrees.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Array, Flag, Integer, Scalar
from .bdf import scaled_rms

MOST = 12  # the highest order
SHRINK, DOUBLE, SAFETY = 0.5, 2.0, 0.5
NODES, SHARES = np.polynomial.legendre.leggauss(7)
NODES, SHARES = (NODES + 1) / 2, SHARES / 2  # on [0, 1]


class Past(NamedTuple):
    """Where the solution has been: `differences` (MOST + 2, n), y and F_0 ... F_MOST at t; `grid`
    (MOST + 1,): how long ago the slopes they are of were, 0 first.

    F up to `order` + 1 are known. `equal`: steps taken with this h and order; `rising`: no order
    has been too high yet. The next step will have size h * `factor` and order `next_order`.
    """

    t: Scalar
    h: Scalar
    order: Integer
    differences: Array
    grid: Array
    equal: Integer
    rising: Flag
    factor: Scalar
    next_order: Integer


class Weights(NamedTuple):
    """Of the step to come, of size `h`: beta_j, and g_j, (MOST + 1,) each."""

    h: Scalar
    beta: Array
    g: Array


def first_past(t: Scalar, y: Array, slope: Array, h: Scalar) -> Past:
    """Order 1 from y and its slope; the steps before are thought to have been as long."""
    differences = jnp.zeros((MOST + 2, y.size), y.dtype).at[0].set(y).at[1].set(slope)
    one = jnp.ones((), jnp.int32)
    grid = h * jnp.arange(MOST + 1, dtype=y.dtype)
    return Past(t, h, one, differences, grid, one - 1, one == 1, jnp.ones_like(h), one)


def weights(past: Past) -> Weights:
    """Of the step that `past` is set for."""
    h, grid = past.h * past.factor, past.grid
    reach = h + grid
    beta = _products(reach[:-1] / grid[1:])
    inside = (h * jnp.asarray(NODES, grid.dtype)[:, None] + grid[None, :-1]) / reach[None, :-1]
    return Weights(h, beta, jnp.asarray(SHARES, grid.dtype) @ _products(inside))


def predict(past: Past, weights: Weights) -> tuple[Array, Array]:
    """(p, slope'), of the polynomial that is known."""
    h, beta, g = weights
    used = jnp.where(_below(past.next_order), beta, 0)
    zero = jnp.zeros_like(h)[None]
    rows = jnp.stack([jnp.append(zero + 1, h * g * used), jnp.append(zero, used)])
    both = rows @ past.differences
    return both[0], both[1]


def correction(past: Past, weights: Weights) -> Scalar:
    """h g_k: what f(p) - slope' is multiplied by."""
    return weights.h * weights.g[past.next_order]


def error_constants(order: Integer, weights: Weights) -> Array:
    """h |g_j - g_{j-1}| for j = order - 1, order, order + 1: of the local errors of these orders,
    by F_j after the step; inf where there is no such order."""
    j = order - 1 + np.arange(3, dtype=np.int32)
    apart = jnp.abs(weights.g[jnp.clip(j, 1, MOST)] - weights.g[jnp.clip(j, 1, MOST) - 1])
    return jnp.where((j >= 1) & (j <= MOST), weights.h * apart, jnp.inf)


def stepped(past: Past, weights: Weights, y: Array, surprise: Array, kept: Flag) -> Past:
    """One step on, at y, if `kept`; `surprise`: f(y) - slope'. Else as it was."""
    order, old, beta = past.next_order, past.differences, weights.beta
    j = np.arange(MOST + 1, dtype=np.int32)
    sums = (j[:, None] <= j[None, :]) & (j[None, :] < order)
    beyond = (j[:, None] == order + 1) & (j[None, :] == order)
    taken = (sums.astype(old.dtype) - beyond.astype(old.dtype)) * beta
    taken = jnp.where(kept, jnp.pad(taken, ((1, 0), (1, 0))), jnp.eye(MOST + 2, dtype=old.dtype))
    gains = jnp.append(jnp.zeros(1, bool), kept & (j <= order + 1)).astype(old.dtype)
    first = jnp.zeros(MOST + 2, old.dtype).at[0].set(kept.astype(old.dtype))
    new = taken @ old + jnp.outer(gains, jnp.where(kept, surprise, 0))
    new = new + jnp.outer(first, jnp.where(kept, y, 0))
    h = jnp.where(kept, weights.h, past.h)
    grid = jnp.append(jnp.zeros(1, old.dtype), weights.h + past.grid[:-1])
    same = (past.factor == 1) & (order == past.order)
    return past._replace(
        t=past.t + jnp.where(kept, h, 0),
        h=h,
        differences=new,
        grid=jnp.where(kept, grid, past.grid),
        order=jnp.where(kept, order, past.order),
        equal=jnp.where(kept, jnp.where(same, past.equal + 1, 1), past.equal),
    )


def planned(past: Past, weights: Weights, scale: Array, size: Scalar) -> Past:
    """After a step that was kept, whose error has norm `size`: the order and step to come."""
    order, rows = past.order, past.differences
    constants = error_constants(order, weights)
    lower = constants[0] * scaled_rms(rows[order], scale)
    upper = constants[2] * scaled_rms(rows[jnp.minimum(order + 2, MOST + 1)], scale)
    errors = jnp.stack([lower, size, upper])
    errors = jnp.where(jnp.isfinite(errors), jnp.maximum(errors, 1e-12), jnp.inf)
    power = order + np.arange(3, dtype=np.int32)
    steps = (SAFETY / errors) ** (1 / power.astype(scale.dtype))
    down = (order > 1) & (lower <= jnp.minimum(size, upper))
    rising = past.rising & ~down & (order < MOST) & (steps[1] >= 1)
    up = ~down & (rising | ((past.equal > order) & (upper < size)))
    change = up.astype(order.dtype) - down.astype(order.dtype)
    step = jnp.where(rising, steps[1], steps[1 + change])
    factor = jnp.where(step >= DOUBLE, DOUBLE, jnp.where(step >= 1, 1.0, jnp.clip(step, SHRINK, 0.9)))
    return past._replace(factor=factor, next_order=order + change, rising=rising)


def shrunk(past: Past) -> Past:
    """After a step that was not kept."""
    return past._replace(
        factor=past.factor * SHRINK, rising=past.rising & False
    )


def interpolate(past: Past, t: Scalar) -> Array:
    """The solution at t within the last step: y(t) and the integral from there of the slope's
    polynomial, which ends at f(y)."""
    grid = past.grid
    back = t - past.t
    inside = (back * jnp.asarray(NODES, grid.dtype)[:, None] + grid[None, :-1]) / grid[None, 1:]
    shares = back * (jnp.asarray(SHARES, grid.dtype) @ _products(inside))
    shares = jnp.where(np.arange(MOST + 1) <= past.order, shares, 0)
    return past.differences[0] + shares @ past.differences[1:]


def _products(factors: Array) -> Array:
    """1, then the products of the first, the first two, ... along the last axis."""
    one = jnp.ones((*factors.shape[:-1], 1), factors.dtype)
    return jnp.concatenate([one, jnp.cumprod(factors, axis=-1)], axis=-1)


def _below(order: Integer) -> Array:
    return np.arange(MOST + 1, dtype=np.int32) < order
