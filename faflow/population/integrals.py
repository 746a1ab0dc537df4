"""Gaussian integrals of two-layer networks: closed forms in the covariance of the fields.

For jointly gaussian fields (a, b, c, d) of mean 0 and covariance C,

    I2 = E g(a) g(b)      I4 = E g'(a) g'(b) g(c) g(d)
    I3 = E g'(a) b g(c)   J2 = E g'(a) g'(b)

Every method takes C (..., n, n) of the fields in this order. Repeated fields are allowed, so are
fields that are 0: a = 0 has g'(a) = 0 for ReLU.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array
from ..networks import AbstractActivation, Linear
from ..networks.activations import Erf, LeakyReLU, RectifiedPower

TWO_PI = 2 * jnp.pi


class AbstractIntegrals(eqx.Module):
    """The integrals that the flow needs, and J2."""

    @abc.abstractmethod
    def i2(self, c: Array) -> Array:
        """E g(a) g(b)."""

    @abc.abstractmethod
    def i3(self, c: Array) -> Array:
        """E g'(a) b g(c)."""

    @abc.abstractmethod
    def j2(self, c: Array) -> Array:
        """E g'(a) g'(b)."""


class AbstractStepIntegrals(AbstractIntegrals):
    """With the integral that steps of finite length need as well."""

    @abc.abstractmethod
    def i4(self, c: Array) -> Array:
        """E g'(a) g'(b) g(c) g(d)."""


class LinearIntegrals(AbstractStepIntegrals):
    """g(h) = h: I2 = C01, I3 = C12, I4 = C23, J2 = 1."""

    def i2(self, c: Array) -> Array:
        return c[..., 0, 1]

    def i3(self, c: Array) -> Array:
        return c[..., 1, 2]

    def i4(self, c: Array) -> Array:
        return c[..., 2, 3]

    def j2(self, c: Array) -> Array:
        return jnp.ones_like(c[..., 0, 1])


class ErfIntegrals(AbstractStepIntegrals):
    """g(h) = erf(h / sqrt 2) (Saad & Solla 1995); smooth at every covariance."""

    def i2(self, c: Array) -> Array:
        size = (1 + c[..., 0, 0]) * (1 + c[..., 1, 1])
        return 2 / jnp.pi * jnp.arcsin(c[..., 0, 1] / jnp.sqrt(size))

    def i3(self, c: Array) -> Array:
        wide = 1 + c[..., 0, 0]
        l3 = wide * (1 + c[..., 2, 2]) - c[..., 0, 2] ** 2
        numerator = c[..., 1, 2] * wide - c[..., 0, 1] * c[..., 0, 2]
        return 2 / jnp.pi * numerator / (jnp.sqrt(l3) * wide)

    def i4(self, c: Array) -> Array:
        l4, cross = _l4(c), self._cross(c, 2, 3)
        sizes = (l4 + self._cross(c, 2, 2)) * (l4 + self._cross(c, 3, 3))
        return 4 / jnp.pi**2 * jnp.arcsin(cross / jnp.sqrt(sizes)) / jnp.sqrt(l4)

    def j2(self, c: Array) -> Array:
        return 2 / jnp.pi / jnp.sqrt(_l4(c))

    def _cross(self, c: Array, i: int, j: int) -> Array:
        """L0 for (i, j) = (2, 3); L1 - L4 and L2 - L4 for (2, 2) and (3, 3)."""
        wide, broad = 1 + c[..., 0, 0], 1 + c[..., 1, 1]
        mixed = c[..., 0, i] * c[..., 1, j] + c[..., 0, j] * c[..., 1, i]
        apart = c[..., 1, i] * c[..., 1, j] * wide + c[..., 0, i] * c[..., 0, j] * broad
        return _l4(c) * c[..., i, j] - apart + c[..., 0, 1] * mixed


def _l4(c: Array) -> Array:
    return (1 + c[..., 0, 0]) * (1 + c[..., 1, 1]) - c[..., 0, 1] ** 2


class ReLUIntegrals(AbstractIntegrals):
    """g(h) = max(h, 0): arc-cosine kernels (Cho & Saul 2009), s^2 = C00 C11 - C01^2,
    theta = angle between the fields = atan2(s, C01).

        I2 = (s + C01 (pi - theta)) / 2 pi      J2 = (pi - theta) / 2 pi
        I3 = (C01 s' / C00 + C12 (pi - theta')) / 2 pi,   s', theta' of fields 0 and 2

    I3 is Stein's lemma, E b f = C_ab E d_a f + C_bc E d_c f for f = g'(a) g(c). I4 is an orthant
    integral in four dimensions and has no elementary closed form. Where a field is 0, or two are
    perfectly correlated, derivatives that are infinite (s has a cusp there) are taken as 0.
    """

    def i2(self, c: Array) -> Array:
        return _arc_cosine(c[..., 0, 0], c[..., 0, 1], c[..., 1, 1])

    def i3(self, c: Array) -> Array:
        own, other = c[..., 0, 0], c[..., 2, 2]
        sine, open_angle = _sine(own, c[..., 0, 2], other), _open_angle(own, c[..., 0, 2], other)
        alive = own > 0
        slope = c[..., 0, 1] * sine / jnp.where(alive, own, 1.0)
        return jnp.where(alive, slope + c[..., 1, 2] * open_angle, 0.0) / TWO_PI

    def j2(self, c: Array) -> Array:
        alive = (c[..., 0, 0] > 0) & (c[..., 1, 1] > 0)
        angle = _open_angle(c[..., 0, 0], c[..., 0, 1], c[..., 1, 1])
        return jnp.where(alive, angle, 0.0) / TWO_PI


def _sine(c00: Array, c01: Array, c11: Array) -> Array:
    """s = sqrt(C00 C11 - C01^2), with derivative 0 where it is 0 to rounding."""
    square = c00 * c11 - c01**2
    apart = square > 4 * jnp.finfo(square.dtype).eps * c00 * c11
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)


def _open_angle(c00: Array, c01: Array, c11: Array) -> Array:
    """pi - theta: pi / 2 where a field is 0."""
    alive = (c00 > 0) & (c11 > 0)
    sine, cosine = jnp.where(alive, _sine(c00, c01, c11), 1.0), jnp.where(alive, c01, 0.0)
    return jnp.arctan2(sine, -cosine)


@jax.custom_jvp
def _arc_cosine(c00: Array, c01: Array, c11: Array) -> Array:
    return (_sine(c00, c01, c11) + c01 * _open_angle(c00, c01, c11)) / TWO_PI


@_arc_cosine.defjvp
def _arc_cosine_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    # The cusps of s and theta cancel: dI2/dC01 = (pi - theta) / 2 pi, dI2/dC00 = s / 4 pi C00.
    c00, c01, c11 = primals
    sine, angle = _sine(c00, c01, c11), _open_angle(c00, c01, c11)
    moved = angle * tangents[1]
    for own, change in ((c00, tangents[0]), (c11, tangents[2])):
        moved = moved + jnp.where(own > 0, sine / (2 * jnp.where(own > 0, own, 1.0)), 0.0) * change
    return _arc_cosine(c00, c01, c11), moved / TWO_PI


def integrals_of(activation: AbstractActivation) -> AbstractIntegrals | None:
    """The integrals of an activation; None if they are not known here."""
    if isinstance(activation, Linear):
        return LinearIntegrals()
    if isinstance(activation, Erf):
        return ErfIntegrals()
    straight = isinstance(activation, RectifiedPower) and activation.power == 1.0
    flat = isinstance(activation, LeakyReLU) and activation.slope == 0.0
    return ReLUIntegrals() if straight or flat else None


def choices(covariance: Array, *sets: Array) -> Array:
    """Covariances (len_1, ..., len_n, n, n) of one field from each of n index sets."""
    grid = jnp.stack(jnp.meshgrid(*sets, indexing="ij"), axis=-1)
    return covariance[grid[..., :, None], grid[..., None, :]]
