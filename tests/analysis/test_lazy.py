"""Dual activations against scipy's quadrature; the lazy recursions written out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf
from scipy.stats import norm

from faflow.analysis import dual, lazy_kernel, lazy_kernels
from faflow.networks import ACTIVATIONS, GatedReLU
from faflow.networks.activations import LeakyReLU, RectifiedPower

COVARIANCE = np.array([[1.3, 0.4], [0.4, 0.7]])
PLAIN = {
    "linear": (lambda h: h, lambda h: h**0),
    "relu": (lambda h: h * (h > 0), lambda h: 1.0 * (h > 0)),
    "leaky-relu": (lambda h: np.where(h > 0, h, 0.1 * h), lambda h: np.where(h > 0, 1.0, 0.1)),
    "relu-squared": (lambda h: h**2 * (h > 0), lambda h: 2 * h * (h > 0)),
    "quadratic": (lambda h: h**2, lambda h: 2 * h),
    "erf": (lambda h: erf(h / 2**0.5), lambda h: 2 * norm.pdf(h)),
    "tanh": (np.tanh, lambda h: 1 / np.cosh(h) ** 2),
    "softplus": (lambda h: np.logaddexp(0, h), lambda h: 1 / (1 + np.exp(-h))),
    "gelu": (lambda h: h * norm.cdf(h), lambda h: norm.cdf(h) + h * norm.pdf(h)),
}


def average(function, covariance=COVARIANCE):
    """<f(h) f(h')> on the half-planes' quadrature: 200 Gauss-Legendre nodes on each side of 0."""
    (v, c), (_, other) = covariance
    spread = (other - c**2 / v) ** 0.5
    nodes, weights = np.polynomial.legendre.leggauss(60)

    def inner(h):
        mean, total = c / v * h, 0.0
        for low, high in ((-12.0, 0.0), (0.0, 12.0)):  # the kink ends both pieces
            x = low + (high - low) * (nodes + 1) / 2
            density = norm.pdf(x, mean, spread)
            total += (high - low) / 2 * np.sum(weights * function(x) * density)
        return total * float(function(np.asarray(h))) * norm.pdf(h, 0, v**0.5)

    return sum(quad(inner, *piece, epsabs=1e-11)[0] for piece in ((-12, 0), (0, 12)))


@pytest.mark.parametrize("name", PLAIN)
def test_duals_are_gaussian_averages(name):
    got = dual(ACTIVATIONS[name](), jnp.asarray(COVARIANCE))
    for found, function in zip(got, PLAIN[name], strict=True):
        assert found[0, 1] == pytest.approx(average(function), abs=1e-8)
        assert found[0, 1] == found[1, 0]
        alone = quad(lambda h: function(h) ** 2 * norm.pdf(h, 0, 0.7**0.5), -12, 12, points=[0])[0]  # noqa: B023
        assert found[1, 1] == pytest.approx(alone, abs=1e-8)


def test_every_activation_has_a_dual_or_is_refused():
    for name, make in ACTIVATIONS.items():
        if name in PLAIN or name == "relu-power":
            continue
        with pytest.raises(ValueError, match="surrogate"):
            dual(make(), jnp.eye(2))
    assert isinstance(ACTIVATIONS["gated-relu"](), GatedReLU)
    half = dual(LeakyReLU(0.0), jnp.asarray(COVARIANCE))
    np.testing.assert_allclose(
        half.values, dual(RectifiedPower(1.0), jnp.asarray(COVARIANCE)).values
    )


def test_zero_and_opposite_inputs_are_no_trouble():
    inputs = jnp.asarray([[0.0, 0.0], [1.0, 2.0], [-1.0, -2.0]])
    for name in ("relu", "tanh", "erf"):
        features, gradients = lazy_kernels(ACTIVATIONS[name](), inputs, 2)
        for kernel in (*features, *gradients):
            assert np.all(np.isfinite(kernel)) and np.allclose(kernel, kernel.T)
    assert features[1][1, 2] == pytest.approx(-float(features[1][1, 1]))  # erf is odd
    relu = lazy_kernels(ACTIVATIONS["relu"](), inputs, 1).features[1]
    assert abs(float(relu[1, 2])) < 1e-12


def test_two_hidden_relu_layers_by_hand():
    """Arc-cosine kernels (Cho & Saul 2009) of two inputs on the sphere of radius sqrt D."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5))
    x *= 5**0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    cos = [x[0] @ x[1] / 5]
    angle, features, slopes = [np.arccos(cos[0])], [cos[0]], []
    for l in range(2):
        th = angle[l]
        slopes.append((np.pi - th) / (2 * np.pi))
        features.append(2.0 ** -(l + 1) / np.pi * (np.sin(th) + (np.pi - th) * np.cos(th)))
        angle.append(np.arccos(features[-1] * 2 ** (l + 1)))
    expected = [slopes[0] * slopes[1] * features[0], slopes[1] * features[1], features[2]]
    relu, inputs = ACTIVATIONS["relu"](), jnp.asarray(x)
    entry = lambda rule, **options: float(lazy_kernel(rule, relu, inputs, 2, **options)[0, 1])  # noqa: E731
    assert entry("gradient") == pytest.approx(sum(expected))
    rho = 0.6 ** np.array([2, 1, 0])
    assert entry("feedback-alignment", rho=0.6) == pytest.approx(rho @ np.array(expected))
    for rule in ("feedback-alignment", "direct-feedback-alignment", "hebbian", "last-layer-only"):
        assert entry(rule) == pytest.approx(expected[2])
    gates = 3 * ((1 - angle[0] / np.pi) / 2) ** 2 * np.cos(angle[0])
    assert entry("gated") == pytest.approx(gates)
    assert entry("gradient") != pytest.approx(gates, rel=0.05)  # control


def test_linear_networks_count_their_layers():
    x = np.random.default_rng(1).standard_normal((3, 4))
    for depth in range(3):
        got = lazy_kernel("gradient", ACTIVATIONS["linear"](), jnp.asarray(x), depth)
        np.testing.assert_allclose(got, (depth + 1) * x @ x.T / 4, rtol=1e-12)
    with pytest.raises(ValueError, match="kolen-pollack"):
        lazy_kernel("kolen-pollack", ACTIVATIONS["linear"](), jnp.asarray(x), 1)
    with pytest.raises(ValueError, match="hidden"):
        lazy_kernels(ACTIVATIONS["linear"](), jnp.asarray(x), -1)
