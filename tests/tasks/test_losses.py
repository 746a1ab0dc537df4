from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.tasks import LOSSES, Squared, make_data

NAMES = [(name, outputs) for name in LOSSES for outputs in (1, 3)]


@cache
def both(name):
    """Value and error of a loss: one program for each shape."""
    loss = LOSSES[name]()
    return jax.jit(lambda f, y: (loss.value(f, y), loss.error(f, y)))


def problem(name, outputs, seed=0):
    rng = np.random.default_rng(seed)
    f = 3 * rng.standard_normal((5, outputs))
    if name != "cross-entropy":
        y = rng.standard_normal((5, outputs))
    elif outputs == 1:
        y = rng.choice([-1.0, 1.0], (5, 1))
    else:
        y = rng.dirichlet(np.ones(outputs), 5)
    return f, y


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_error_is_the_gradient_of_value(name, outputs):
    f, y = problem(name, outputs)
    gradient = jax.jit(jax.grad(lambda g: jnp.sum(both(name)(g, y)[0])))(f)
    np.testing.assert_allclose(both(name)(f, y)[1], gradient, atol=1e-14)


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_error_matches_finite_differences(name, outputs):
    f, y = problem(name, outputs, seed=1)
    step, value = 1e-6, lambda f: np.asarray(both(name)(f, y)[0])
    for j in range(outputs):
        bump = step * np.eye(outputs)[j]
        slope = (value(f + bump) - value(f - bump)) / (2 * step)
        np.testing.assert_allclose(both(name)(f, y)[1][:, j], slope, atol=1e-8)


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_a_loss_at_every_place_is_summed_within_the_sample(name, outputs):
    """(samples, places, outputs): as the places one by one, as samples; error by differences."""
    places = [problem(name, outputs, seed) for seed in range(4)]
    f, y = (np.stack(arrays, axis=1) for arrays in zip(*places, strict=True))
    LOSSES[name]().check(y)
    one_by_one = sum(np.asarray(both(name)(*place)[0]) for place in places)
    value, error = map(np.asarray, both(name)(f, y))
    np.testing.assert_allclose(value, one_by_one, rtol=1e-13)
    step, bumped = 1e-6, lambda bump: np.asarray(both(name)(f + bump, y)[0])
    assert error.shape == f.shape
    for place in range(4):
        for j in range(outputs):
            bump = np.zeros_like(f)
            bump[:, place, j] = step
            slope = (bumped(bump) - bumped(-bump)) / (2 * step)
            np.testing.assert_allclose(error[:, place, j], slope, atol=1e-8)
    if name == "cross-entropy" and outputs > 1:  # over the last axis, and no other
        wrong = both(name)(*(np.swapaxes(a, 1, 2) for a in (f, y)))[1]
        assert np.max(np.abs(np.swapaxes(wrong, 1, 2) - error)) > 1e-3


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_far_and_near_outputs_stay_finite(name, outputs):
    _, y = problem(name, outputs)
    for f in (np.full(y.shape, 1e4), np.full(y.shape, -1e4), y):
        value, error = both(name)(f, y)
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(error))


@pytest.mark.parametrize("z", [1e-12, 1e-8, 1e-3, 0.5, 0.999999, 1.000001, 3.0, 700.0])
def test_log_cosh_is_relatively_accurate(z):
    value, _ = both("logcosh")(np.array([[z], [-z]]), np.zeros((2, 1)))
    series = z**2 / 2 - z**4 / 12 if z < 1e-2 else abs(z) + np.log1p(np.exp(-2 * z)) - np.log(2)
    np.testing.assert_allclose(value, series, rtol=1e-10)


def test_squared_has_the_half():
    value = Squared().value(jnp.array([[1.0, 2.0]]), jnp.zeros((1, 2)))
    np.testing.assert_array_equal(value, [2.5])


def test_logistic_equals_softmax_of_two():
    f, y = problem("cross-entropy", 1)
    two = np.concatenate([f, np.zeros_like(f)], axis=1)
    hot = np.concatenate([y == 1, y == -1], axis=1).astype(f.dtype)
    one, other = (both("cross-entropy")(*pair)[0] for pair in ((f, y), (two, hot)))
    np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("targets", "word"),
    [
        ([0.0, 1.0], "-1 or \\+1"),
        ([[1.0, 1.0], [0.0, 1.0]], "row 0"),
        ([[0.0, 1.0], [-0.5, 1.5]], "row 1"),
    ],
)
def test_cross_entropy_rejects_other_targets(targets, word):
    with pytest.raises(ValueError, match=word):
        make_data(np.ones((2, 3)), targets, "cross-entropy")


def test_cross_entropy_names_the_place():
    hot = np.eye(3)[np.zeros((2, 4), int)]
    make_data(np.ones((2, 4, 5)), hot, "cross-entropy")
    hot[1, 2] = [0.5, 0.2, 0.2]
    with pytest.raises(ValueError, match=r"row \[1, 2\]"):
        make_data(np.ones((2, 4, 5)), hot, "cross-entropy")
    with pytest.raises(ValueError, match=r"-1 or \+1"):
        make_data(np.ones((2, 4, 5)), np.zeros((2, 4, 1)), "cross-entropy")
