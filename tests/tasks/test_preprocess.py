import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faflow.tasks import WHITENINGS, preprocess

SIZES = st.tuples(st.integers(2, 8), st.integers(1, 8), st.integers(0, 10**6))


def draw(samples, features, seed):
    rng = np.random.default_rng(seed)
    return 5 * rng.standard_normal((samples, features)) + rng.standard_normal(features)


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_standardised_features_have_mean_0_and_variance_1(sizes):
    x, facts = preprocess(draw(*sizes), standardise=True)
    assert facts == {"dropped_features": 0}
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose((x**2).mean(axis=0), 1, atol=1e-10)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e100, 1e154, 1e200, 1.7e308])
def test_standardised_features_have_no_unit(size):
    """(x - mean) / std is the same in any unit, also where x^2 or a sum is no float64."""
    x = np.array([[1.0, 0.3], [-0.5, 0.1], [0.2, -1.0]])
    y, facts = preprocess(x * [size, 1.0], standardise=True)
    expected = (x - x.mean(axis=0)) / x.std(axis=0)
    assert facts == {"dropped_features": 0}
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_constant_features_are_dropped_and_counted():
    x = draw(6, 4, 0)
    x[:, 1], x[:, 3] = 0.1, 0.0
    y, facts = preprocess(x, standardise=True)
    assert y.shape == (6, 2)
    assert facts == {"dropped_features": 2}


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_whitening(sizes):
    samples, features, seed = sizes
    x = draw(samples, features, seed)
    if samples <= features:
        rows, _ = preprocess(x, whiten="rows")
        np.testing.assert_allclose(rows @ rows.T, np.eye(samples), atol=1e-12)
        # The symmetric root: white = (X X^T)^{-1/2} X keeps the row space of X.
        np.testing.assert_allclose(rows @ np.linalg.pinv(x) @ x, rows, atol=1e-9)
    if samples >= features:
        columns, _ = preprocess(x, whiten="features")
        np.testing.assert_allclose(columns.T @ columns / samples, np.eye(features), atol=1e-12)


@pytest.mark.parametrize("whiten", WHITENINGS)
def test_scale_multiplies_last(whiten):
    x = draw(4, 4, 3)
    one, _ = preprocess(x, whiten=whiten)
    three, _ = preprocess(x, whiten=whiten, scale=3)
    np.testing.assert_allclose(three, 3 * one)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((6, 4), {"whiten": "rows"}, ["whiten", "6", "rank 4", "at most 4 samples"]),
        ((4, 6), {"whiten": "features"}, ["whiten", "6", "rank 4"]),
        ((4, 6), {"whiten": "rows", "standardise": True}, ["standardise = false"]),
        ((4, 6), {"whiten": "row"}, ["whiten", "did you mean 'rows'"]),
        ((1, 6), {"standardise": True}, ["standardise", "constant"]),
        ((4, 6), {"scale": 0.0}, ["scale", "0.0"]),
        ((4, 6), {"scale": float("nan")}, ["scale", "nan"]),
    ],
)
def test_impossible_preparations_are_one_line(shape, options, words):
    with pytest.raises(ValueError) as caught:
        preprocess(draw(*shape, 0), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
