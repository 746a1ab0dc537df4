import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.tasks import LOSSES, Squared, make_data

NAMES = [(name, outputs) for name in LOSSES for outputs in (1, 3)]


def problem(name, outputs, seed=0):
    rng = np.random.default_rng(seed)
    f = 3 * rng.standard_normal((5, outputs))
    if name != "cross-entropy":
        y = rng.standard_normal((5, outputs))
    elif outputs == 1:
        y = rng.choice([-1.0, 1.0], (5, 1))
    else:
        y = rng.dirichlet(np.ones(outputs), 5)
    return jnp.asarray(f), jnp.asarray(y)


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_error_is_the_gradient_of_value(name, outputs):
    loss = LOSSES[name]()
    f, y = problem(name, outputs)
    gradient = jax.grad(lambda g: jnp.sum(loss.value(g, y)))(f)
    np.testing.assert_allclose(loss.error(f, y), gradient, atol=1e-14)


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_error_matches_finite_differences(name, outputs):
    loss = LOSSES[name]()
    f, y = problem(name, outputs, seed=1)
    step = 1e-6
    for j in range(outputs):
        bump = step * jnp.eye(outputs)[j][None, :]
        slope = (loss.value(f + bump, y) - loss.value(f - bump, y)) / (2 * step)
        np.testing.assert_allclose(loss.error(f, y)[:, j], slope, atol=1e-8)


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_a_loss_at_every_place_is_summed_within_the_sample(name, outputs):
    """(samples, places, outputs): as the places one by one, as samples; error by differences."""
    loss = LOSSES[name]()
    places = [problem(name, outputs, seed) for seed in range(4)]
    f, y = (jnp.stack(arrays, axis=1) for arrays in zip(*places, strict=True))
    loss.check(np.asarray(y))
    one_by_one = sum(np.asarray(loss.value(*place)) for place in places)
    np.testing.assert_allclose(loss.value(f, y), one_by_one, rtol=1e-13)
    error, step = loss.error(f, y), 1e-6
    assert error.shape == f.shape
    for place in range(4):
        for j in range(outputs):
            bump = jnp.zeros_like(f).at[:, place, j].set(step)
            slope = (loss.value(f + bump, y) - loss.value(f - bump, y)) / (2 * step)
            np.testing.assert_allclose(error[:, place, j], slope, atol=1e-8)
    if name == "cross-entropy" and outputs > 1:  # over the last axis, and no other
        wrong = jnp.swapaxes(loss.error(*(jnp.swapaxes(a, 1, 2) for a in (f, y))), 1, 2)
        assert jnp.max(jnp.abs(wrong - error)) > 1e-3


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_far_and_near_outputs_stay_finite(name, outputs):
    loss = LOSSES[name]()
    _, y = problem(name, outputs)
    for f in (1e4 * jnp.ones_like(y), -1e4 * jnp.ones_like(y), y):
        assert bool(jnp.all(jnp.isfinite(loss.value(f, y))))
        assert bool(jnp.all(jnp.isfinite(loss.error(f, y))))


@pytest.mark.parametrize("z", [1e-12, 1e-8, 1e-3, 0.5, 0.999999, 1.000001, 3.0, 700.0])
def test_log_cosh_is_relatively_accurate(z):
    value = LOSSES["logcosh"]().value(jnp.array([[z], [-z]]), jnp.zeros((2, 1)))
    series = z**2 / 2 - z**4 / 12 if z < 1e-2 else abs(z) + np.log1p(np.exp(-2 * z)) - np.log(2)
    np.testing.assert_allclose(value, series, rtol=1e-10)


def test_squared_has_the_half():
    value = Squared().value(jnp.array([[1.0, 2.0]]), jnp.zeros((1, 2)))
    np.testing.assert_array_equal(value, [2.5])


def test_logistic_equals_softmax_of_two():
    f, y = problem("cross-entropy", 1)
    two = jnp.concatenate([f, jnp.zeros_like(f)], axis=1)
    hot = jnp.concatenate([y == 1, y == -1], axis=1).astype(f.dtype)
    loss = LOSSES["cross-entropy"]()
    np.testing.assert_allclose(loss.value(f, y), loss.value(two, hot), rtol=1e-12)


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
