"""Every registered feedback draw: shapes, variance, ties to W(0)."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from faflow.feedback import FEEDBACKS, Feedback, counterparts, draw_feedback
from faflow.feedback.draw import (
    Correlated,
    EqualToWeights,
    Gaussian,
    LowRank,
    MeanField,
    Orthogonal,
    SignOfWeights,
    Uniform,
)
from faflow.networks import MLP

WIDTHS = (4, 6, 5, 3)
SHAPES = {"none": [], "layerwise": [(5, 6), (3, 5)], "direct": [(3, 6), (3, 5)]}


def network(widths, seed=0):
    rng = np.random.default_rng(seed)
    pairs = zip(widths[1:], widths[:-1], strict=True)
    return MLP(tuple(jnp.asarray(rng.standard_normal(pair) / pair[1] ** 0.5) for pair in pairs))


def draw(kind, form="layerwise", widths=WIDTHS, key=0):
    return draw_feedback(kind, jr.key(key), widths, form, network(widths)).matrices


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("name", FEEDBACKS)
def test_shapes_and_determinism(name, form):
    first, again = draw(FEEDBACKS[name](), form), draw(FEEDBACKS[name](), form)
    assert [matrix.shape for matrix in first] == SHAPES[form]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [Gaussian, Uniform])
def test_variance_is_scale_squared_over_fan_in(kind):
    """300 x 200 entries: sample variance within 3 % (five standard deviations)."""
    (matrix,) = draw(kind(1.7), widths=(2, 200, 300))
    assert np.var(matrix) == pytest.approx(1.7**2 / 200, rel=0.03)
    assert abs(np.mean(matrix)) < 5 * 1.7 / 200**0.5 / 6e4**0.5
    peak = np.abs(matrix).max() / (1.7 / 200**0.5)
    assert peak <= 3**0.5 if kind is Uniform else peak > 3


def test_mean_field():
    """F = rho W(0) + sqrt(1 - rho^2) V with Var V = 1 / fan_in, in maps to the outputs smaller by
    (gamma_0 sqrt N)^2, N the last hidden width: sample variances within 3 %."""
    widths, rho, richness = (2, 200, 300, 150), 0.6, 2.0
    small = 1 / (richness**2 * 300)
    for form, sizes in (("layerwise", [1.0, small]), ("direct", [small, small])):
        tied = counterparts(network(widths), form)
        for matrix, weight, size in zip(
            draw(MeanField(rho, richness), form, widths), tied, sizes, strict=True
        ):
            fresh = (np.asarray(matrix) - rho * np.asarray(weight)) / (1 - rho**2) ** 0.5
            assert np.var(fresh) == pytest.approx(size / matrix.shape[1], rel=0.03)
            assert abs(np.corrcoef(fresh.ravel(), np.ravel(weight))[0, 1]) < 0.03
    same = zip(draw(MeanField(1.0)), network(WIDTHS).weights[1:], strict=True)
    assert all(np.array_equal(*pair) for pair in same)
    for wrong in ({"rho": 1.1}, {"richness": 0.0}):
        with pytest.raises(ValueError):
            MeanField(**wrong)


def test_orthogonal():
    for form in ("layerwise", "direct"):
        for matrix in draw(Orthogonal(0.5), form):
            np.testing.assert_allclose(matrix @ matrix.T, 0.25 * np.eye(len(matrix)), atol=1e-14)


def test_low_rank():
    """The rank asked for, or the smaller side; sample variance within five standard deviations,
    which products of two gaussians with 50 in between have some 2 % of."""
    for form in ("layerwise", "direct"):
        for rank in (1, 2, 9):
            found = draw(LowRank(rank), form)
            ranks = [np.linalg.matrix_rank(matrix, tol=1e-10) for matrix in found]
            assert ranks == [min(rank, *matrix.shape) for matrix in found]
    (matrix,) = draw(LowRank(50, 1.7), widths=(2, 200, 300))
    assert np.var(matrix) == pytest.approx(1.7**2 / 200, rel=0.12)
    with pytest.raises(ValueError, match="`rank` must be >= 1, but is 0"):
        LowRank(0)


def test_equal_to_weights():
    """Layerwise: W_l; direct: W_L ... W_{l+1}."""
    w = [np.asarray(weight) for weight in network(WIDTHS).weights]
    for got, want in zip(draw(EqualToWeights(2.0)), w[1:], strict=True):
        np.testing.assert_allclose(got, 2 * want, rtol=1e-15)
    for got, want in zip(draw(EqualToWeights(), "direct"), [w[2] @ w[1], w[2]], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.8, 1.0])
def test_correlation_with_the_weights_is_rho(rho):
    """300 x 200 pairs: corr within 5 (1 - rho^2) / sqrt(6e4); the variance stays that of W(0)."""
    widths = (2, 200, 300)
    (matrix,) = draw(Correlated(rho), widths=widths)
    weight = np.asarray(network(widths).weights[1])
    measured = np.corrcoef(np.ravel(matrix), weight.ravel())[0, 1]
    assert measured == pytest.approx(rho, abs=0.02)
    assert np.var(matrix) == pytest.approx(np.var(weight), rel=0.05)


def test_sign_of_weights():
    for got, want in zip(draw(SignOfWeights(3.0)), network(WIDTHS).weights[1:], strict=True):
        np.testing.assert_allclose(got, 3 * np.sign(want) / want.shape[1] ** 0.5, rtol=1e-15)


def test_one_scale_per_matrix_and_independent_matrices():
    first, second = draw(Gaussian((2.0, 0.0)))
    assert np.any(first) and not np.any(second)
    wider = draw(Gaussian(), widths=(4, 6, 5, 9))
    np.testing.assert_array_equal(draw(Gaussian())[0], wider[0])  # matrix 0 keeps its draw
    assert np.abs(draw(Gaussian(), key=1)[0] - draw(Gaussian())[0]).max() > 0.1


@pytest.mark.parametrize("name", [n for n, kind in FEEDBACKS.items() if kind.needs_weights])
def test_ties_need_the_weights(name):
    with pytest.raises(ValueError, match="tied"):
        draw_feedback(FEEDBACKS[name](), jr.key(0), WIDTHS, "layerwise")


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="rho"):
        Correlated(1.5)
    with pytest.raises(ValueError, match="scale"):
        draw(Gaussian((1.0, 1.0, 1.0)))


def test_counterparts_of_no_feedback():
    assert counterparts(network(WIDTHS), "none") == ()
    assert Feedback().matrices == ()
