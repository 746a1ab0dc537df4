"""Every registered initialisation keeps what its docstring promises."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from faflow._generator import drawing, normal
from faflow.networks import INITIALISATIONS, Linear
from faflow.networks.draws import gaussian_matrix
from faflow.networks.initialise import (
    Balanced,
    DataSpan,
    FromFeedback,
    Gaussian,
    LambdaBalanced,
    MeanField,
    Orthogonal,
    initial_network,
)

WIDTHS = (6, 5, 7, 3)
SHAPES = [(5, 6), (7, 5), (3, 7)]
TWO_LAYERS = (6, 5, 3)
RNG = np.random.default_rng(0)
FEEDBACK = tuple(jnp.asarray(RNG.standard_normal(shape)) for shape in SHAPES[1:])
INPUTS = jnp.asarray(RNG.standard_normal((4, 6)))


def draw(initialisation, widths=WIDTHS, **kw):
    options = {"feedback": FEEDBACK, "inputs": INPUTS, **kw}
    return initial_network(initialisation, jr.key(1), widths, Linear(), **options)


def matrices(initialisation, widths=WIDTHS):
    return [np.asarray(weight) for weight in draw(initialisation, widths).weights]


def widths_of(name):
    return TWO_LAYERS if name == "lambda-balanced" else WIDTHS


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_shapes_and_determinism(name):
    widths = widths_of(name)
    first, again = (matrices(INITIALISATIONS[name](), widths) for _ in range(2))
    assert [weight.shape for weight in first] == list(itertools.pairwise(widths[::-1]))[::-1]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.all(np.isfinite(a))


def test_mean_field_variances():
    """1 / n_{l-1}, and 1 / (gamma_0 N)^2 for the read-out: sample variances within 3 %."""
    found = [np.var(w) for w in matrices(MeanField(2.5), (200, 300, 150, 400))]
    assert found == pytest.approx([1 / 200, 1 / 300, 1 / (2.5 * 150) ** 2], rel=0.03)
    with pytest.raises(ValueError):
        MeanField(0.0)


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_biases_only_when_asked(name):
    widths, kind = widths_of(name), INITIALISATIONS[name]()
    assert draw(kind, widths).biases == ()
    zero = draw(kind, widths, bias=True).biases
    assert [np.shape(b) for b in zero] == [(width,) for width in widths[1:]]
    assert not np.any(np.concatenate(zero))
    assert np.all(np.concatenate(draw(kind, widths, bias=True, bias_scale=0.3).biases))


def test_gaussian_variance_is_scale_squared_over_fan_in():
    """200 x 300 entries: the sample variance is within sqrt(2 / 6e4) = 0.6 %, five of them here."""
    first, second = matrices(Gaussian((2.0, 0.5)), (300, 200, 300))
    assert first.var() == pytest.approx(4.0 / 300, rel=0.03)
    assert second.var() == pytest.approx(0.25 / 200, rel=0.03)
    assert abs(first.mean()) < 5 * 2 / 300**0.5 / 6e4**0.5
    assert abs(np.corrcoef(first[:, :200].ravel(), second[:200].ravel())[0, 1]) < 0.03


def test_orthogonal_rows_or_columns():
    for weight in matrices(Orthogonal(1.5)):
        gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
        np.testing.assert_allclose(gram, 1.5**2 * np.eye(len(gram)), atol=1e-13)


def imbalance(weights):
    pairs = itertools.pairwise(weights)
    return max(np.abs(low @ low.T - up.T @ up).max() for low, up in pairs)


def test_balanced_is_balanced():
    """W_l W_l^T = W_{l+1}^T W_{l+1}; gaussian weights of the same sizes are not (control)."""
    assert imbalance(matrices(Balanced())) < 1e-13
    assert imbalance(matrices(Gaussian())) > 0.1
    w = matrices(Balanced(2.0))
    assert np.linalg.norm(w[2] @ w[1] @ w[0]) == pytest.approx(
        2 * np.linalg.norm(np.linalg.multi_dot(matrices(Balanced())[::-1])), rel=1e-12
    )


def test_balanced_refuses_narrow_layers():
    with pytest.raises(ValueError, match="widen"):
        draw(Balanced(), (6, 2, 3))


@pytest.mark.parametrize(
    ("widths", "lam"),
    [((6, 5, 3), 0.0), ((3, 5, 6), 0.7), ((6, 4, 3), -0.7), ((5, 3, 4), 0.7), ((2, 7, 3), 0.0)],
)
def test_lambda_balanced_is_lambda_balanced(widths, lam):
    """W_2^T W_2 - W_1 W_1^T = lam I, and W_2 W_1 has rank min(widths) and grows with the scale."""
    low, up = matrices(LambdaBalanced(0.8, lam), widths)
    gap = up.T @ up - low @ low.T
    np.testing.assert_allclose(gap, lam * np.eye(widths[1]), atol=1e-14)
    singular = np.linalg.svd(up @ low, compute_uv=False)
    assert np.sum(singular > 1e-12) == min(widths)
    twice = np.matmul(*matrices(LambdaBalanced(1.6, lam), widths)[::-1])
    np.testing.assert_allclose(np.linalg.svd(twice, compute_uv=False), 2 * singular, atol=1e-13)
    low, up = matrices(Gaussian(), widths)  # control
    assert np.abs(up.T @ up - low @ low.T - lam * np.eye(widths[1])).max() > 0.1


@pytest.mark.parametrize(
    ("widths", "lam", "word"),
    [((6, 5, 3), 0.5, "outputs = 3"), ((3, 5, 6), -0.5, "inputs = 3"), (WIDTHS, 0.0, "two layers")],
)
def test_lambda_balanced_refuses_widths(widths, lam, word):
    with pytest.raises(ValueError, match=word):
        draw(LambdaBalanced(1.0, lam), widths)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_from_feedback_starts_at_the_feedback(scale):
    weights = matrices(FromFeedback(scale))
    for weight, matrix in zip(weights[1:], FEEDBACK, strict=True):
        np.testing.assert_array_equal(weight, matrix)
    ratio = np.linalg.norm(weights[0]) / np.linalg.norm(FEEDBACK[0])
    assert ratio == pytest.approx(scale, rel=1e-13)


@pytest.mark.parametrize("readout", ["feedback", "zero", "gaussian"])
def test_data_span_rows_lie_in_the_span(readout):
    """W_1 (I - X^+ X) = 0 with ||W_1|| = scale ||F_2||; gaussian rows stick out (control)."""
    first, second, third = matrices(DataSpan(0.7, readout))
    outside = np.eye(6) - np.linalg.pinv(INPUTS) @ INPUTS
    assert np.abs(first @ outside).max() < 1e-13
    assert np.abs(matrices(Gaussian())[0] @ outside).max() > 0.1
    assert np.linalg.norm(first) == pytest.approx(0.7 * np.linalg.norm(FEEDBACK[0]), rel=1e-13)
    above = np.linalg.norm(second - FEEDBACK[0]), np.linalg.norm(second), np.linalg.norm(third)
    assert {
        "feedback": above[0] == 0,
        "zero": above[1] == 0 == above[2],
        "gaussian": min(above) > 0.1,
    }[readout]


@pytest.mark.parametrize("name", ["feedback", "data-span"])
def test_missing_feedback_is_said(name):
    with pytest.raises(ValueError, match="feedback"):
        draw(INITIALISATIONS[name](), feedback=())


def test_a_wrong_number_of_scales_is_said():
    with pytest.raises(ValueError, match="scale"):
        draw(Gaussian((1.0, 2.0)))


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (7, 1), (31, 33), (40, 30)])
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_a_draw_is_jax_s_own_whatever_its_shape(shape, scale):
    """Bit for bit, though programs are shared between shapes: or seeds would mean other weights."""
    key = jax.random.fold_in(jax.random.key(5), 2)
    with drawing():
        expected = scale * jax.random.normal(key, shape) / shape[1] ** 0.5
        found = gaussian_matrix(key, shape, scale)
        traced = jax.jit(lambda of: gaussian_matrix(of, shape, scale))(key)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(traced, expected, rtol=1e-15)


def test_a_draw_is_the_beginning_only_where_numbers_do_not_depend_on_how_many_there_are():
    key = jax.random.key(5)
    with jax.threefry_partitionable(False):
        np.testing.assert_array_equal(normal(key, (3, 5)), jax.random.normal(key, (3, 5)))
