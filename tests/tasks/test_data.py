import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.tasks import LOSSES, REDUCTIONS, make_data

X = np.arange(12.0).reshape(4, 3)
Y = np.array([1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_error_is_the_gradient_of_the_scalar_loss(loss, reduction):
    data = make_data(X, Y, loss, reduction)
    f = jnp.linspace(-1.0, 2.0, 4)[:, None]
    np.testing.assert_allclose(data.error(f), jax.grad(data.value)(f), atol=1e-14)
    ratio = 1 if reduction == "sum" else 1 / 4
    np.testing.assert_allclose(data.error(f), ratio * data.residual(f), rtol=1e-14)


def test_other_inputs_are_no_identity():
    """Fields leave products with X = I out, so that nothing else may pass for it."""
    data = make_data(np.eye(4), Y)
    assert data.identity and not make_data(X, Y).identity
    with pytest.raises(ValueError, match="identity"):
        dataclasses.replace(data, inputs=2 * data.inputs)


def test_one_dimensional_targets_become_a_column():
    data = make_data(X, Y)
    assert data.targets.shape == (4, 1)
    assert data.inputs.dtype == data.targets.dtype == data.weight.dtype == jnp.asarray(1.0).dtype


def test_passes_through_jit_and_vmap():
    data = make_data(X, Y)
    value = eqx.filter_jit(lambda d, f: d.value(f))(data, jnp.zeros((4, 1)))
    assert float(value) == 2.0
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), data)
    assert eqx.filter_vmap(lambda d: d.value(jnp.zeros((4, 1))))(many).shape == (2,)


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "words"),
    [
        (X[0], Y, {}, ["inputs", "(3,)"]),
        (X, Y[:3], {}, ["targets", "3 rows", "4 rows"]),
        (np.zeros((0, 3)), np.zeros(0), {}, ["inputs", "(0, 3)"]),
        (X, np.where(Y > 0, Y, np.nan), {}, ["targets", "nan", "[1]", "finite"]),
        (np.where(X == 5, np.inf, X), Y, {}, ["inputs", "inf", "[1, 2]"]),
        (X.astype(complex), Y, {}, ["inputs", "complex128"]),
        (X, Y, {"loss": "sqared"}, ["loss", "sqared", "did you mean 'squared'"]),
        (X, Y, {"reduction": "avg"}, ["reduction", "sum, mean"]),
    ],
)
def test_bad_data_is_one_line(inputs, targets, options, words):
    with pytest.raises(ValueError) as caught:
        make_data(inputs, targets, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_float32_is_quiet_and_names_an_overflow():
    with jax.enable_x64(False):
        data = make_data(X, Y, reduction="mean")
        assert data.inputs.dtype == data.targets.dtype == data.weight.dtype == np.float32
        with pytest.raises(ValueError, match=r"inputs.*1e\+300"):
            make_data(np.where(X == 5, 1e300, X), Y)
