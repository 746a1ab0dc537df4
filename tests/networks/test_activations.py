"""Every registered activation: its derivative, its Euler degree, its kink."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles_activations as closed
import pytest

from faflow.networks import ACTIVATIONS
from faflow.networks.activations import LeakyReLU, RectifiedPower

ALL = {**{name: make() for name, make in ACTIVATIONS.items()}, "cubed": RectifiedPower(3.0)}
POINTS = np.random.default_rng(0).normal(scale=2.0, size=101)  # none at a kink
EXACT = [name for name, phi in ALL.items() if phi.exact]


@pytest.mark.parametrize("name", ALL)
def test_values_are_the_closed_forms(name):
    np.testing.assert_allclose(
        ALL[name](jnp.asarray(POINTS)), closed.PHI[name](POINTS), rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize("name", EXACT)
def test_derivative_is_that_of_the_value(name):
    phi, h = ALL[name], jnp.asarray(POINTS)
    np.testing.assert_allclose(
        phi.derivative(h), jax.vmap(jax.grad(phi))(h), rtol=1e-12, atol=1e-13
    )
    step = 1e-5
    slope = (closed.PHI[name](POINTS + step) - closed.PHI[name](POINTS - step)) / (2 * step)
    np.testing.assert_allclose(phi.derivative(h), slope, atol=1e-8)


@pytest.mark.parametrize("name", ALL)
def test_euler_relation_holds_exactly_where_a_degree_is_claimed(name):
    """phi'(h) h = k phi(h); without a degree no k fits: the ratio varies over h by O(1)."""
    phi, h = ALL[name], jnp.asarray(POINTS)
    left = np.asarray(phi.derivative(h) * h)
    if phi.degree is not None:
        np.testing.assert_allclose(left, phi.degree * np.asarray(phi(h)), rtol=1e-13, atol=1e-15)
        for wrong in (phi.degree + 1, phi.degree / 2):
            assert np.abs(left - wrong * np.asarray(phi(h))).max() > 0.1
    else:
        ratio = left / np.asarray(phi(h))
        assert ratio.max() - ratio.min() > 0.3


@pytest.mark.parametrize("name", ALL)
def test_kinked_says_whether_the_derivative_jumps(name):
    phi, tiny = ALL[name], 1e-9
    jump = phi.derivative(jnp.array([tiny])) - phi.derivative(jnp.array([-tiny]))
    assert (abs(float(jump[0])) > 0.5) == phi.kinked


def test_derivative_at_a_relu_kink_is_zero():
    assert float(ALL["relu"].derivative(jnp.zeros(1))[0]) == 0.0


def test_gated_relu_is_a_surrogate():
    """Its backward gate is not phi' near 0 (off by over 0.1), and ReLU's away from it."""
    phi, h = ALL["gated-relu"], jnp.linspace(-0.05, 0.05, 101)
    assert np.abs(phi.derivative(h) - jax.vmap(jax.grad(phi))(h)).max() > 0.1
    np.testing.assert_allclose(phi(jnp.array([-1.0, 1.0])), [0.0, 1.0], atol=1e-15)


@pytest.mark.parametrize("make", [lambda: LeakyReLU(-0.1), lambda: RectifiedPower(0.5)])
def test_bad_options_are_refused(make):
    with pytest.raises(ValueError):
        make()
