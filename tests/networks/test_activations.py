"""Every registered activation: its derivative, its Euler degree, its kink."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import oracles_activations as closed
import pytest

from faflow.networks import ACTIVATIONS, softplus
from faflow.networks.activations import LeakyReLU, RectifiedPower

ALL = {**{name: make() for name, make in ACTIVATIONS.items()}, "cubed": RectifiedPower(3.0)}
POINTS = np.random.default_rng(0).normal(scale=2.0, size=101)  # none at a kink
NEAR = np.linspace(-0.05, 0.05, 101)  # a kink, and what is put in its place
TINY = np.array([-1e-9, 0.0, 1e-9])
EXACT = [name for name, phi in ALL.items() if phi.exact]


@cache
def found(name):
    """(value, derivative, JAX's derivative of the value) at POINTS, NEAR and TINY."""

    @jax.jit  # a dozen programs otherwise
    def look(*places):
        return [(phi(h), phi.derivative(h), jax.vmap(jax.grad(phi))(h)) for h in places]

    phi = ALL[name]
    return jax.device_get(look(POINTS, NEAR, TINY))


@pytest.mark.parametrize("name", ALL)
def test_values_are_the_closed_forms(name):
    value, _, _ = found(name)[0]
    np.testing.assert_allclose(value, closed.PHI[name](POINTS), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", EXACT)
def test_derivative_is_that_of_the_value(name):
    _, derivative, by_jax = found(name)[0]
    np.testing.assert_allclose(derivative, by_jax, rtol=1e-12, atol=1e-13)
    step = 1e-5
    slope = (closed.PHI[name](POINTS + step) - closed.PHI[name](POINTS - step)) / (2 * step)
    np.testing.assert_allclose(derivative, slope, atol=1e-8)


@pytest.mark.parametrize("name", ALL)
def test_euler_relation_holds_exactly_where_a_degree_is_claimed(name):
    """phi'(h) h = k phi(h); without a degree no k fits: the ratio varies over h by O(1)."""
    phi, (value, derivative, _) = ALL[name], found(name)[0]
    left = derivative * POINTS
    if phi.degree is not None:
        np.testing.assert_allclose(left, phi.degree * value, rtol=1e-13, atol=1e-15)
        for wrong in (phi.degree + 1, phi.degree / 2):
            assert np.abs(left - wrong * value).max() > 0.1
    else:
        ratio = left / value
        assert ratio.max() - ratio.min() > 0.3


@pytest.mark.parametrize("name", ALL)
def test_kinked_says_whether_the_derivative_jumps(name):
    _, (below, _, above), _ = found(name)[2]
    assert (abs(above - below) > 0.5) == ALL[name].kinked


def test_derivative_at_a_relu_kink_is_zero():
    _, derivative, _ = found("relu")[2]
    assert derivative[TINY == 0.0] == 0.0


def test_gated_relu_is_a_surrogate():
    """Its backward gate is not phi' near 0 (off by over 0.1), and ReLU's away from it."""
    _, derivative, by_jax = found("gated-relu")[1]
    assert np.abs(derivative - by_jax).max() > 0.1
    away = ALL["gated-relu"](jnp.array([-1.0, 1.0]))
    np.testing.assert_allclose(away, [0.0, 1.0], atol=1e-15)


@pytest.mark.parametrize("make", [lambda: LeakyReLU(-0.1), lambda: RectifiedPower(0.5)])
def test_bad_options_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_softplus_to_rounding_everywhere():
    """Against numpy's logaddexp in long double; a series one term in ten shorter is the control."""
    h = np.concatenate([np.linspace(-700, 50, 20_001), np.linspace(-3, 3, 20_001)])
    exact = np.logaddexp(np.longdouble(0), h.astype(np.longdouble))
    value = np.asarray(ALL["softplus"](jnp.asarray(h)))
    assert np.max(np.abs(value - exact) / exact) < 5e-16
    t = 2 * np.exp(-np.abs(h)) - 1
    cut = softplus.TERMS * 9 // 10
    lost = sum(term * t**k for k, term in enumerate(softplus._TAYLOR) if k >= cut)
    assert np.max(np.abs(np.exp(-np.abs(h)) * lost) / exact) > 1e-16
    curve = jax.jit(jax.vmap(jax.grad(jax.grad(ALL["softplus"]))))(POINTS)
    s = 1 / (1 + np.exp(-POINTS))
    np.testing.assert_allclose(curve, s * (1 - s), rtol=1e-12)


def test_softplus_derivatives_to_rounding():
    """Against long double, and Taylor's coefficients at 0, where |h| has a corner; s (1 - s), which
    cancels far from 0, is the control."""
    h = np.concatenate([np.linspace(-700, 50, 20_001), np.linspace(-3, 3, 20_001)])
    e = np.exp(-np.abs(h.astype(np.longdouble)))
    value, slope = np.where(h < 0, e, 1) / (1 + e), e / (1 + e) ** 2
    phi = ALL["softplus"]
    first = np.asarray(jax.jit(phi.derivative)(h))
    steep = np.asarray(jax.jit(jax.vmap(jax.grad(phi.derivative)))(h))
    assert np.max(np.abs(first - value) / value) < 1e-15
    assert np.max(np.abs(steep - slope) / slope) < 2e-15
    assert np.max(np.abs(first * (1 - first) - slope) / slope) > 0.1
    higher = [phi.derivative]
    for _ in range(3):
        higher.append(jax.grad(higher[-1]))
    at_zero = jax.jit(lambda h: [one(h) for one in higher])(np.zeros(()))
    np.testing.assert_allclose(at_zero, [1 / 2, 1 / 4, 0, -1 / 8], atol=1e-15)
