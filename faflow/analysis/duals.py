"""Dual activations: <phi(h) phi(h')> and <phi'(h) phi'(h')> for jointly gaussian h, h'.

They are the integrals I2 and J2 of `population.integrals` for linear, erf and ReLU, follow from
them for leaky ReLU and ReLU^2 (Cho & Saul 2009), and are quadratures (Gauss-Hermite) for any other
smooth phi.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import ONCE, compiled
from .._types import Array, Matrix
from ..networks import AbstractActivation
from ..networks.activations import LeakyReLU, Quadratic, RectifiedPower
from ..population.integrals import AbstractIntegrals, ReLUIntegrals, choices, integrals_of

NODES = 128  # per dimension: tanh and its slope at variance 1 to 1e-11, at variance 10 to 1e-3


class Dual(NamedTuple):
    """`values` <phi phi> and `slopes` <phi' phi'>, (samples, samples)."""

    values: Matrix
    slopes: Matrix


@compiled(ONCE)
def dual(activation: AbstractActivation, covariance: Matrix) -> Dual:
    """Both averages over h ~ N(0, covariance), covariance (samples, samples).

    ValueError for a surrogate gate, and for a kinked activation that is not ReLU or leaky ReLU.
    """
    if not activation.exact:
        name = type(activation).__name__
        raise ValueError(f"Dual activations need phi and its derivative, but {name} is a surrogate")
    closed = _closed(activation)
    if closed is not None:
        return closed(covariance)
    if activation.kinked:
        name = type(activation).__name__
        raise ValueError(f"No dual of {name}: it has a kink, where quadrature would be inaccurate")
    values, slopes = (_quadrature(f, covariance) for f in (activation, activation.derivative))
    return Dual(values, slopes)


def _closed(activation: AbstractActivation) -> Callable[[Matrix], Dual] | None:
    integrals = integrals_of(activation)
    if integrals is not None:
        return lambda covariance: _pairwise(integrals, covariance)
    if isinstance(activation, RectifiedPower) and activation.power == 2.0:
        return _relu_squared
    if isinstance(activation, LeakyReLU):
        return lambda covariance: _leaky(covariance, activation.slope)
    return _quadratic if isinstance(activation, Quadratic) else None


def _pairwise(integrals: AbstractIntegrals, c: Matrix) -> Dual:
    every = jnp.arange(len(c))
    pairs = choices(c, every, every)
    return Dual(integrals.i2(pairs), integrals.j2(pairs))


def _quadratic(c: Matrix) -> Dual:
    return Dual(_outer(jnp.diag(c)) + 2 * c**2, 4 * c)


def _leaky(c: Matrix, slope: float) -> Dual:
    # phi(h) = slope h + (1 - slope) relu(h), and <h relu(h')> = c / 2.
    relu, mixed = _pairwise(ReLUIntegrals(), c), slope**2 + slope * (1 - slope)
    share = (1 - slope) ** 2
    return Dual(mixed * c + share * relu.values, mixed + share * relu.slopes)


def _relu_squared(c: Matrix) -> Dual:
    size, angle = _polar(c)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    values = size**2 * (3 * sin * cos + (jnp.pi - angle) * (1 + 2 * cos**2))
    return Dual(values / (2 * jnp.pi), 4 * _pairwise(ReLUIntegrals(), c).values)


def _polar(c: Matrix) -> tuple[Matrix, Matrix]:
    """|x| |x'| and the angle between x and x', for c = x . x'."""
    # sqrt(v v) is v: the angle of x with itself is 0, not the square root of rounding.
    size = jnp.sqrt(_outer(jnp.diag(c)))
    return size, jnp.arccos(jnp.clip(c / jnp.where(size > 0, size, 1.0), -1.0, 1.0))


def _outer(vector: Array) -> Matrix:
    return vector[:, None] * vector[None, :]


def _quadrature(phi: Callable[[Array], Array], c: Matrix) -> Matrix:
    """<phi(h) phi(h')>, h = s u, h' = (c / s) u + sqrt(v - c^2 / s^2) w, u, w independent."""
    points, weights = np.polynomial.hermite_e.hermegauss(NODES)
    points, weights = jnp.asarray(points, c.dtype), jnp.asarray(weights, c.dtype)
    weights, variances = weights / jnp.sum(weights), jnp.diag(c)
    u, w = points[:, None], points[None, :]

    def pair(own: Array, other: Array, shared: Array) -> Array:
        spread = jnp.sqrt(own)
        slope = jnp.where(own > 0, shared / jnp.where(own > 0, spread, 1.0), 0.0)
        rest = jnp.sqrt(jnp.maximum(other - slope**2, 0.0))
        return weights @ (phi(spread * u) * phi(slope * u + rest * w)) @ weights

    def row(line: tuple[Array, Array]) -> Array:
        own, shared = line
        return jax.vmap(pair, (None, 0, 0))(own, variances, shared)

    found = jax.lax.map(row, (variances, c))  # row by row: samples * nodes^2 numbers at once
    return (found + found.T) / 2
