"""Adams' methods in variable steps and orders 1 to 12, on flat states: predict, evaluate, correct,
evaluate (Shampine & Gordon 1975; Hairer, Norsett & Wanner 1993, section III.5).

The polynomial of the slopes f at t, t - grid_1, t - grid_2, ... is kept in modified divided
differences F_0, F_1, ... With h the step, r_i = h + grid_i, beta_j = prod_{i<j} r_i / grid_{i+1}
and b_j(s) = prod_{i<j} (s h + grid_i) / r_i, order k predicts

    p = y + h sum_{j<k} g_j beta_j F_j,   g_j = int_0^1 b_j ds,   slope = sum_{j<k} beta_j F_j,

and corrects to y1 = p + h g_k (f(p) - slope), which is of order k + 1; f(y1) - slope goes into the
differences of the next step. Any step may follow any other: nothing moves onto another grid. The
integrals are Gauss's rule of seven points, exact for polynomials of these degrees.

Where stability holds the step, two terms of the size of the error make it longer, at the same order
(the freedom that Stetter 1968 and Crane & Klopfenstein 1965 used): with d = beta_k F_k,

    p' = p + theta_k h d,   y1 = p + h g_k (f(p') - slope) + eta_k h (f(p') - slope - d).

theta and eta were searched for the longest z = h lambda < 0 with roots below 0.95 and, 15 degrees
off the axis, below 0.98. The error grows up to threefold, so that other steps are plain ones.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Flag, Integer, Scalar
from . import bdf
from .bdf import History, scaled_rms
from .newton import Field
from .vectors import norm

MOST = 12  # the highest order
ROWS = MOST + 4  # y, F_0 ... F_MOST, and two for what a step adds
CUT, GROWTH, WORTHWHILE, SAFETY = 0.5, 4.0, 1.2, 0.5
DESPAIR = 3  # rejections in a row after which order 1 begins anew
# The largest r such that steps with h lambda in [-r, 0] do not grow, by order from 1 on: plain, and
PLAIN = (2.0, 2.395, 1.93, 1.41, 1.035, 0.77, 0.575, 0.435, 0.335, 0.26, 0.21, 0.06)
# with these two terms.
REAL = (4.44, 3.82, 2.81, 1.99, 1.47, 1.105, 0.82, 0.625, 0.475, 0.36, 0.28, 0.06)
THETA = (0.24, 0.08, 0.01, -0.04, -0.055, -0.06, -0.11, -0.065, -0.08, -0.09, -0.13, 0.0)
ETA = (-0.275, -0.155, -0.094, -0.057, -0.037, -0.0235, -0.0115, -0.008, -0.0037, -0.0008, 0.0015,
       0.0)  # fmt: skip
LONG = 0.6  # share of PLAIN from which on steps have them
STABLE = 0.9  # share of REAL that a step may come to
MEMORY = 0.95  # share of the fastest rate that is believed in for one more step
RESOLVED = 1000  # units in the last place of y that y1 and p are apart, to tell a rate
_NODES, _SHARES = np.polynomial.legendre.leggauss(7)
NODES, SHARES = (_NODES + 1) / 2, _SHARES / 2  # on [0, 1]


class Past(NamedTuple):
    """Where the solution has been: `differences` (ROWS, n), y and F_0 ... F_MOST at t, and two rows
    in which a step lays what it adds; `grid` (MOST + 1,): how long ago their slopes were, 0 first.

    F up to `order` + 1 are known. `equal`: steps taken with this h and order, or -1, -2, ... after
    as many rejections; `rising`: no order has been too high yet; `rate`: of the fastest direction
    that lately told. The next step will have size h * `factor` and order `next_order`.
    """

    t: Scalar
    h: Scalar
    order: Integer
    differences: Array
    grid: Array
    equal: Integer
    rising: Flag
    rate: Scalar
    factor: Scalar
    next_order: Integer


class Weights(NamedTuple):
    """Of the step to come, of size `h`: beta_j and g_j, (MOST + 1,) each."""

    h: Scalar
    beta: Array
    g: Array


class AdamsTrial(NamedTuple):
    """What came of a step: `kept` or not, whether it was a number (`finite`), and the field
    evaluations it took."""

    past: Past
    kept: Flag
    finite: Flag
    evaluations: Integer


def first_past(t: Scalar, y: Array, slope: Array, h: Scalar) -> Past:
    """Order 1 from y and its slope; steps before are thought to have been as long."""
    differences = jnp.zeros((ROWS, y.size), y.dtype).at[0].set(y).at[1].set(slope)
    one, grid = jnp.ones((), jnp.int32), h * np.arange(MOST + 1, dtype=y.dtype)
    return Past(t, h, one, differences, grid, one - 1, one > 0, 0 * h, jnp.ones_like(h), one)


def pece_step(
    field: Field, past: Past, tolerances: tuple[Scalar, Scalar], held: int | None = None
) -> AdamsTrial:
    """Try the step that `past` is set for.

    `tolerances` (rtol, atol) weigh an error by atol + rtol |y|, root mean square over the first
    `held` components (None: over all).
    """
    now, (rtol, atol) = weights(past), tolerances
    place, slope, corrected = paired(past, now)
    t = past.t + now.h
    guess = field(t, place)
    surprise = guess - slope
    y = corrected(surprise)
    sizes = jnp.maximum(jnp.abs(past.differences[0]), jnp.abs(y))
    scale = (atol + rtol * sizes)[:held]
    error = _constants(past.next_order, now)[1] * scaled_rms(surprise[:held], scale)
    close = error <= 1
    found = jax.lax.cond(close, lambda: field(t, y), lambda: guess)
    kept = close & jnp.isfinite(norm(found))
    apart, told = norm((y - place)[:held]), RESOLVED * jnp.finfo(y.dtype).eps * norm(y[:held])
    rate = norm((found - guess)[:held]) / jnp.where(apart > told, apart, jnp.inf)
    taken = taken_over(past, now, y, found - slope, kept)
    shorter = _shorter(past)._replace(differences=taken.differences)
    after = jax.tree.map(
        partial(jnp.where, kept), _planned(taken, now, scale, error, rate), shorter
    )
    after = after._replace(differences=taken.differences)
    return AdamsTrial(after, kept, jnp.isfinite(error) & (kept | ~close), 1 + close.astype(int))


def weights(past: Past) -> Weights:
    """Of the step that `past` is set for."""
    h, grid = past.h * past.factor, past.grid
    reach = h + grid
    inside = (h * jnp.asarray(NODES, grid.dtype)[:, None] + grid[None, :-1]) / reach[None, :-1]
    return Weights(h, _products(reach[:-1] / grid[1:]), _integral(inside))


def paired(past: Past, weights: Weights) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Predictor and corrector: (where f is to be evaluated, slope, y1 of f less slope there)."""
    h, beta, g = weights
    order, j = past.next_order, np.arange(MOST + 1, dtype=np.int32)
    used, last = jnp.where(j < order, beta, 0), jnp.where(j == order, beta, 0)
    zero = jnp.zeros_like(beta[:1])
    rows = [jnp.append(zero + 1, h * g * used), jnp.append(zero, used), jnp.append(zero, last)]
    p, slope, d = jnp.pad(jnp.stack(rows), ((0, 0), (0, 2))) @ past.differences
    plain, theta, eta = jnp.asarray((PLAIN, THETA, ETA), h.dtype)[:, order - 1]
    theta, eta = jnp.where(h * past.rate > LONG * plain, jnp.stack([theta, eta]), 0)

    def corrected(surprise: Array) -> Array:
        return p + h * (g[order] * surprise + eta * (surprise - d))

    return p + h * theta * d, slope, corrected


def taken_over(
    past: Past, weights: Weights, y: Array, surprise: Array, kept: Flag | bool = True
) -> Past:
    """One step on, at y; `surprise`: f(y) - slope, by which all differences are changed. They are
    the old ones, to the bit, of a step that is not `kept`.

    F_j is what was predicted of it, sum of beta_i F_i over j <= i < k, and the surprise; F_{k+1} is
    the surprise less beta_k F_k. That is one product of a small matrix and all rows, old and added:
    a history is larger than its field, and what counts is how often it is read.
    """
    order, old, kept = past.next_order, past.differences, jnp.asarray(kept)
    j = np.arange(MOST + 1, dtype=np.int32)
    sums = (j[:, None] <= j[None, :]) & (j[None, :] < order)
    last = (j[:, None] == order + 1) & (j[None, :] == order)
    taken = (sums.astype(old.dtype) - last.astype(old.dtype)) * weights.beta[None, :]
    known = (j <= order + 1).astype(old.dtype)
    taken = jnp.pad(jnp.concatenate([taken, known[:, None]], axis=1), ((1, 2), (1, 1)))
    taken = jnp.where(
        kept, taken.at[0, -1].set(1), jnp.diag((np.arange(ROWS) < MOST + 2).astype(old.dtype))
    )
    added = jnp.where(kept, jnp.stack([surprise, y]), 0)  # 0 times what is no number would be none
    same = (past.factor == 1) & (order == past.order)
    return past._replace(
        t=past.t + weights.h,
        h=weights.h,
        order=order,
        differences=taken @ old.at[MOST + 2 :].set(added),
        grid=jnp.append(jnp.zeros_like(past.grid[:1]), weights.h + past.grid[:-1]),
        equal=jnp.where(same, jnp.maximum(past.equal, 0) + 1, 1),
    )


def read_off(past: Past, t: Scalar) -> Array:
    """The solution at t within the last step: y and the integral of the slopes' polynomial."""
    grid, back = past.grid, t - past.t
    inside = (back * jnp.asarray(NODES, grid.dtype)[:, None] + grid[None, :-1]) / grid[None, 1:]
    use = np.arange(MOST + 1, dtype=np.int32) <= past.order
    return past.differences[0] + back * (
        jnp.where(use, _integral(inside), 0) @ past.differences[1 : MOST + 2]
    )  # fmt: skip


def as_bdf(past: Past) -> History:
    """The same solution as the BDF keeps it, in differences of y on a grid of the last step: of as
    high an order as such steps fit into the time of which slopes are known."""
    back = past.h * np.arange(bdf.MOST + 1, dtype=past.grid.dtype)
    values = jax.vmap(lambda t: read_off(past, t))(past.t - back)
    fitting = jnp.sum((back[1:] <= 1.001 * past.grid[past.order]).astype(jnp.int32))
    order = jnp.clip(fitting.astype(jnp.int32), 1, past.order)
    return bdf.history_of(past.t, past.h, values, order)


def _planned(past: Past, weights: Weights, scale: Array, size: Scalar, rate: Scalar) -> Past:
    """After a step that was kept, whose error has norm `size`: the order and step to come.

    Orders k - 1, k, k + 1 are compared by the step that error and stability allow them. A longer
    step is taken if it is much longer: after k + 1 steps of one size the next order can be judged.
    """
    order, rows = past.order, past.differences
    held = scale.size
    three = np.arange(3, dtype=np.int32)
    constants = _constants(order, weights)
    above = jnp.minimum(order + 2, MOST + 1)
    lower, upper = (scaled_rms(rows[j][:held], scale) for j in (order, above))
    errors = jnp.stack([constants[0] * lower, size, constants[2] * upper])
    errors = jnp.where(jnp.isinf(constants), jnp.inf, jnp.maximum(errors, 1e-12))
    steps = (SAFETY / errors) ** (1 / (order + three).astype(scale.dtype))
    rate = jnp.maximum(rate, MEMORY * past.rate)
    reach = jnp.asarray(REAL, scale.dtype)[jnp.clip(order - 2 + three, 0, MOST - 1)]
    fast = weights.h * rate
    steps = jnp.minimum(steps, STABLE * reach / jnp.where(fast > 0, fast, 1e-12))
    best = jnp.argmax(steps)
    rising = past.rising & (best > 0) & (order < MOST) & (steps[1] >= 1)
    up = rising | ((past.equal > order) & (best == 2))
    change = up.astype(order.dtype) - (best == 0).astype(order.dtype)
    step = jnp.where(rising, steps[1], steps[1 + change])
    less, more = jnp.clip(step, CUT, STABLE), jnp.minimum(step, GROWTH)
    factor = jnp.where(step < 1, less, jnp.where(step < WORTHWHILE, 1.0, more))
    return past._replace(factor=factor, next_order=order + change, rising=rising, rate=rate)


def _shorter(past: Past) -> Past:
    """After a step that was not kept."""
    equal = jnp.minimum(past.equal, 0) - 1
    return past._replace(
        factor=CUT * past.factor,
        equal=equal,
        rising=past.rising & False,
        next_order=jnp.where(equal <= -DESPAIR, 1, past.next_order),
    )


def _constants(order: Integer, weights: Weights) -> Array:
    """h |g_j - g_{j-1}| for j = order - 1, order, order + 1, which F_j after the step is multiplied
    by for the local error of order j; inf where there is no such order."""
    j = order - 1 + np.arange(3, dtype=np.int32)
    there = jnp.clip(j, 1, MOST)
    constants = weights.h * jnp.abs(weights.g[there] - weights.g[there - 1])
    return jnp.where(j == there, constants, jnp.inf)


def _integral(inside: Array) -> Array:
    """Over s from 0 to 1 of the products of the first 0, 1, 2, ... factors, which are given at the
    nodes, (nodes, factors)."""
    return jnp.asarray(SHARES, inside.dtype) @ _products(inside)


def _products(factors: Array) -> Array:
    """1, then the products of the first, the first two, ... along the last axis."""
    one = jnp.ones((*factors.shape[:-1], 1), factors.dtype)
    return jnp.concatenate([one, jnp.cumprod(factors, axis=-1)], axis=-1)
