"""Prediction 34's integrals against quadrature, with fields that repeat each other or vanish."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quadrature import IN_4D, angular, erf_mean

from faflow.networks import ACTIVATIONS
from faflow.population import AbstractStepIntegrals, choices, integrals_of

ERF, LINEAR, RELU = (integrals_of(ACTIVATIONS[name]()) for name in ("erf", "linear", "relu"))


def covariances(size, count, seed):
    """Random ones of rank >= 2, standard deviations from 0.2 to 2."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        root = rng.standard_normal((size, size + 1)) * rng.uniform(0.2, 1.3, (size, 1))
        found.append(root @ root.T / size)
    return found


def repeated(c, *fields):
    return c[np.ix_(fields, fields)]


@pytest.fixture(scope="module")
def four():
    """(4, 4) covariances: random; fields that repeat each other, the opposite, and none (0)."""
    c = covariances(4, 3, 0)
    zero = c[0].copy()
    zero[2], zero[:, 2] = 0, 0
    opposite = c[1].copy()
    opposite[3], opposite[:, 3] = -opposite[1], -opposite[:, 1]
    opposite[3, 3] = c[1][1, 1]
    return [*c, repeated(c[0], 0, 0, 1, 2), repeated(c[1], 0, 1, 0, 1), opposite, zero,
            repeated(c[2], 0, 0, 0, 0), np.zeros((4, 4))]  # fmt: skip


DEFINITIONS = {
    "i2": (2, lambda g, slope, a, b: g(a) * g(b)),
    "i3": (3, lambda g, slope, a, b, c: slope(a) * b * g(c)),
    "i4": (4, lambda g, slope, a, b, c, d: slope(a) * slope(b) * g(c) * g(d)),
    "j2": (2, lambda g, slope, a, b: slope(a) * slope(b)),
}


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("activation", ["erf", "linear"])
def test_smooth_integrals(four, name, activation, measured):
    size, integrand = DEFINITIONS[name]
    integrals = {"erf": ERF, "linear": LINEAR}[activation]
    fields = np.stack(four)[:, :size, :size]
    got = np.asarray(getattr(integrals, name)(jnp.asarray(fields)))
    expected = [erf_mean(c, integrand, activation) for c in fields]
    worst = np.abs(got - expected).max()
    measured(34, f"{activation}: {name.upper()} against quadrature", worst, below=1e-10)


def test_control_integrals_of_other_fields(four, measured):
    """Two fields swapped: the comparison tells."""
    swapped = [erf_mean(repeated(c, 1, 0, 2), DEFINITIONS["i3"][1], "erf") for c in four[:3]]
    got = ERF.i3(jnp.asarray(np.stack(four[:3])[:, :3, :3]))
    worst = np.abs(np.asarray(got) - swapped).max()
    measured(34, "control: erf, I3 of swapped fields", worst, above=1e-3)


def relu_values(four):
    """(name, value, quadrature); of a repeated field, g'(a) g'(a) = g'(a)."""
    for name in ("i2", "i3", "j2"):
        size = DEFINITIONS[name][0]
        value = jax.jit(getattr(RELU, name))
        for c in four:
            c = c[:size, :size]
            yield name, float(value(c)), angular(name, c)


def test_relu_integrals(four, measured):
    worst = dict.fromkeys(("i2", "i3", "j2"), 0.0)
    for name, value, expected in relu_values(four):
        worst[name] = max(worst[name], abs(value - expected))
    for name, error in worst.items():
        measured(34, f"relu: {name.upper()} against quadrature", error, below=1e-10)


def test_quadrature_is_converged(four):
    """The oracle itself: twice the points, and I2 of a bivariate normal known by hand."""
    c = four[0]
    value = DEFINITIONS["i4"][1]
    fine, coarse = (erf_mean(c, value, "erf", points=n) for n in (IN_4D + 8, IN_4D))
    assert abs(fine - coarse) < 1e-11
    assert angular("i2", np.eye(2)) == pytest.approx(1 / (2 * np.pi), abs=1e-14)


def test_what_is_not_known():
    assert integrals_of(ACTIVATIONS["tanh"]()) is None
    assert not isinstance(RELU, AbstractStepIntegrals)  # four orthant directions: no closed form


@pytest.mark.parametrize("integrals", [ERF, LINEAR, RELU])
def test_derivatives_are_finite_everywhere(integrals, four):
    for name in ("i2", "i3", "i4", "j2"):
        if hasattr(integrals, name):
            size = DEFINITIONS[name][0]
            slopes = jax.jit(jax.vmap(jax.grad(getattr(integrals, name))))
            for slope in np.asarray(slopes(np.stack(four)[:, :size, :size])):
                assert np.all(np.isfinite(slope)), name


def test_derivative_of_the_arc_cosine_kernel():
    """Against central differences, and where the fields are the same: I2(c, c, c) = c / 2, whose
    slopes are 0, pi / 2 pi, 0."""
    slope, value = jax.jit(jax.grad(RELU.i2)), jax.jit(RELU.i2)
    for c in covariances(2, 3, 4):
        for i, j in ((0, 0), (0, 1), (1, 1)):
            move = np.zeros((2, 2))
            move[i, j] = 1e-5
            ends = [float(value(c + sign * move)) for sign in (1, -1)]
            found = float(np.asarray(slope(c))[i, j])
            assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(found, abs=1e-8)
    same = np.asarray(slope(np.full((2, 2), 0.7)))
    np.testing.assert_allclose(same, [[0, 0.5], [0, 0]], atol=1e-14)


def test_choices():
    """choices(C, s, t)[i, j] = C of fields (s_i, t_j)."""
    c = jnp.asarray(covariances(4, 1, 5)[0])
    found = choices(c, jnp.array([3, 1]), jnp.array([0, 2, 2]))
    assert found.shape == (2, 3, 2, 2)
    np.testing.assert_array_equal(found[1, 2], repeated(np.asarray(c), 1, 2))
