"""Backward differentiation in variable steps and orders 1 to 5, on flat states.

The method is the numerical differentiation formula in backward differences of Shampine &
Reichelt 1997: with D_k the k-th backward difference of y on the grid t, t - h, t - 2h, ...

    (1 - kappa_k) gamma_k (y - p) + sum_{j <= k} gamma_j D_j = h f(t + h, y),   p = sum_{j <= k} D_j

(p is the predictor, gamma_j = 1 + 1/2 + ... + 1/j). The step size changes by interpolation onto a
new grid. Nothing here solves equations: `newton.py` does.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Array, Flag, Integer, Scalar
from .vectors import norm

MOST = 5  # the highest order that is stable
KAPPA = np.array([0.0, -0.1850, -1 / 9, -0.0823, -0.0415, 0.0])  # Shampine & Reichelt, table 1
GAMMA = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, MOST + 1))])
ALPHA = (1 - KAPPA) * GAMMA
ERROR = KAPPA * GAMMA + 1 / np.arange(1, MOST + 2)  # local error = ERROR[k] (y - p)
SHRINK, GROW, WORTHWHILE, SAFETY = 0.2, 10.0, 1.2, 0.85


class History(NamedTuple):
    """Where the solution has been: `differences` (MOST + 3, n) on the grid t, t - h, ...

    Rows up to `order` are those of the interpolating polynomial; row order + 1 is the difference to
    the predictor of the last step. `equal`: steps taken with this h and order. The next step will
    have size h * `factor` and order `next_order`.
    """

    t: Scalar
    h: Scalar
    order: Integer
    differences: Array
    equal: Integer
    factor: Scalar
    next_order: Integer


def first_history(t: Scalar, y: Array, slope: Array, h: Scalar) -> History:
    """Order 1 from y and its slope."""
    differences = jnp.zeros((MOST + 3, y.size), y.dtype).at[0].set(y).at[1].set(h * slope)
    one = jnp.ones((), jnp.int32)
    return History(t, h, one, differences, one - 1, jnp.ones_like(h), one)


def history_of(t: Scalar, h: Scalar, values: Array, order: Integer) -> History:
    """Of a solution known at t, t - h, ..., t - MOST h, (MOST + 1, n); up to this order."""
    rows = _table(_binomial_signs(), values) @ values
    inside = np.arange(MOST + 1, dtype=np.int32) <= order
    differences = jnp.pad(jnp.where(inside[:, None], rows, 0), ((0, 2), (0, 0)))
    zero = jnp.zeros((), jnp.int32)
    return History(t, h, order, differences, zero, jnp.ones_like(h), order)


def next_step(history: History) -> tuple[Scalar, Scalar]:
    """(h, c) of the step to come; c = h / alpha multiplies the Jacobian."""
    h = history.h * history.factor
    return h, h / _table(ALPHA, h)[history.next_order]


def on_grid(history: History) -> tuple[History, Array]:
    """The step to come, and the matrix (MOST + 3, MOST + 3) that takes the differences, which stay
    where they are, to its grid: the same polynomial there.

    In s = (t - time) / h the polynomial is sum_k D_k b_k(s), b_k(s) = prod_{m<k} (m - s) / (m + 1);
    its backward differences at s = 0, factor, 2 factor, ... are the new D_k. A matrix, since every
    pass over the differences is felt: prediction and acceptance are one product each.
    """
    order, factor, old = history.next_order, history.factor, history.differences
    k = np.arange(MOST + 3, dtype=np.int32)
    inside = k <= order
    few = k[: MOST + 1]
    changed = _table(_binomial_signs(), old) @ _basis(factor * _table(few, factor))
    changed = jnp.pad(changed, (0, 2))
    same = jnp.eye(MOST + 3, dtype=old.dtype)
    change = jnp.where(
        inside[:, None] & inside[None, :], changed, jnp.where(inside[:, None], 0, same)
    )
    change = jnp.where(factor == 1, same, change)
    equal = jnp.where((factor == 1) & (order == history.order), history.equal, 0)
    one = jnp.ones_like(factor)
    return History(history.t, history.h * factor, order, old, equal, one, order), change


def predict(history: History, change: Array) -> tuple[Array, Array]:
    """(p, psi / alpha): the equation of the step is d = c f(p + d) - psi / alpha, y = p + d."""
    rows = history.differences
    k = np.arange(MOST + 3, dtype=np.int32)
    alpha, gamma = _table(ALPHA, rows)[history.order], np.append(GAMMA, [0.0, 0.0])
    weights = jnp.stack([jnp.ones_like(k, rows.dtype), _table(gamma, rows) / alpha])
    both = (jnp.where((k <= history.order)[None, :], weights, 0) @ change) @ rows
    return both[0], both[1]


def local_error(history: History, d: Array) -> Array:
    """The leading term of what the step is wrong by."""
    return _table(ERROR, d)[history.order] * d


def stepped(history: History, change: Array, d: Array, kept: Flag) -> History:
    """The history one step on, still on its grid, if `kept`; else as it was, before `change`.

    D_k + D_{k+1} + ... + D_order + d up to k = order, D_{order+1} = d, then d's own difference.
    """
    order, old = history.order, history.differences
    k = np.arange(MOST + 3, dtype=np.int32)
    sums = (k[:, None] <= k[None, :]) & (k[None, :] <= order)
    last = (k[:, None] == order + 2) & (k[None, :] == order + 1)
    taken = (sums.astype(old.dtype) - last.astype(old.dtype)) @ change
    taken = jnp.where(kept, taken, jnp.eye(MOST + 3, dtype=old.dtype))
    gains = (kept & (k <= order + 2)).astype(old.dtype)
    new = taken @ old + jnp.outer(gains, jnp.where(kept, d, 0))
    return history._replace(t=history.t + history.h, differences=new, equal=history.equal + 1)


def planned(history: History, scale: Array, size: Scalar) -> History:
    """After an accepted step whose error has norm `size`: the order and step to come.

    Orders k - 1, k, k + 1 are compared by the step that their error terms allow, once k + 1 steps
    of equal size have made the differences trustworthy; a change that gains little is not made,
    since it costs a factorisation.
    """
    order, rows = history.order, history.differences
    constants = _table(ERROR, rows)
    lower = scaled_rms(constants[order - 1] * rows[order], scale)
    upper = scaled_rms(constants[jnp.minimum(order + 1, MOST)] * rows[order + 2], scale)
    lower = jnp.where(order > 1, lower, jnp.inf)
    upper = jnp.where(order < MOST, upper, jnp.inf)
    errors = jnp.maximum(jnp.stack([lower, size, upper]), 1e-12)
    steps = SAFETY * errors ** (-1 / (order + np.arange(3, dtype=np.int32)).astype(scale.dtype))
    best = jnp.argmax(steps)
    factor = jnp.minimum(steps[best], GROW)
    change = (history.equal > order) & (factor > WORTHWHILE)
    return history._replace(
        factor=jnp.where(change, factor, 1.0),
        next_order=jnp.where(change, order + best.astype(order.dtype) - 1, order),
    )


def shrink_for(history: History, size: Scalar) -> Scalar:
    """The factor after a step whose error of norm `size` > 1 was too large."""
    power = -1 / (history.order + 1).astype(size.dtype)
    return jnp.clip(SAFETY * size**power, SHRINK, 0.9)


def interpolate(history: History, t: Scalar) -> Array:
    """The solution at t within the last step: the polynomial of the method, of its own order."""
    s = (history.t - t) / history.h
    weights = _basis(s[None])[0]
    use = np.arange(MOST + 1, dtype=np.int32) <= history.order
    return jnp.where(use, weights, 0) @ history.differences[: MOST + 1]


def scaled_rms(vector: Array, scale: Array) -> Scalar:
    """sqrt(mean_i (vector_i / scale_i)^2)."""
    return norm(vector / scale) / vector.size**0.5


def _basis(s: Array) -> Array:
    """b_k(s) = prod_{m < k} (m - s) / (m + 1), (points, MOST + 1)."""
    m = jnp.arange(MOST, dtype=s.dtype)
    factors = (m[None, :] - s[:, None]) / (m[None, :] + 1)
    return jnp.concatenate([jnp.ones_like(s)[:, None], jnp.cumprod(factors, axis=1)], axis=1)


def _binomial_signs() -> np.ndarray:
    """(-1)^j binom(k, j): values at s = 0, 1, ... to backward differences."""
    table = np.zeros((MOST + 1, MOST + 1))
    table[0, 0] = 1
    for k in range(1, MOST + 1):
        table[k] = table[k - 1]
        table[k, 1:] -= table[k - 1, :-1]
    return table


def _table(values: np.ndarray, like: Array) -> Array:
    return jnp.asarray(values, like.dtype)
