"""Functions that closed forms share, each accurate over the whole range of its arguments."""

import jax
import jax.numpy as jnp

from .._types import Array, Scalar


def decay_integral(rate: Array, t: Scalar | float) -> Array:
    """int_0^t e^{-rate u} du = (1 - e^{-rate t}) / rate, and t for rate = 0."""
    x = rate * t
    return t * jnp.where(x == 0, 1.0, -jnp.expm1(-x) / jnp.where(x == 0, 1.0, x))


def cubic_rise(tau: Scalar) -> Scalar:
    """x of x' = 1 - x^3, x(0) = 0, at tau >= 0.

    The inverse of tau = 1/3 z + 1/6 log(1 + x + x^2) + 1/sqrt(3) atan(sqrt(3) x / (2 + x)) with
    z = -log(1 - x): every term is positive, so that small tau are as exact as large ones. As a
    function of z it is concave with slopes 1/(1 + x + x^2) between 1 and 1/3: Newton's method from
    z = tau rises to the root, and has it to rounding after 8 steps.
    """

    def step(_: object, z: Scalar) -> Scalar:
        x = -jnp.expm1(-z)
        square = x + x * x
        root = jnp.sqrt(jnp.asarray(3.0, z.dtype))
        time = z / 3 + jnp.log1p(square) / 6 + jnp.arctan(root * x / (2 + x)) / root
        return z + (tau - time) * (1 + square)

    return -jnp.expm1(-jax.lax.fori_loop(0, 12, step, tau))
