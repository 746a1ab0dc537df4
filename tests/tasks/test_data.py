import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.tasks import LOSSES, REDUCTIONS, make_data

X = np.arange(12.0).reshape(4, 3)
Y = np.array([1.0, -1.0, 1.0, 1.0])


@eqx.filter_jit
def figures(data, f):
    """Value, error, the value's gradient, residual."""
    return data.value(f), data.error(f), jax.grad(data.value)(f), data.residual(f)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_error_is_the_gradient_of_the_scalar_loss(loss, reduction):
    data = make_data(X, Y, loss, reduction)
    _, error, gradient, residual = figures(data, np.linspace(-1.0, 2.0, 4)[:, None])
    np.testing.assert_allclose(error, gradient, atol=1e-14)
    ratio = 1 if reduction == "sum" else 1 / 4
    np.testing.assert_allclose(error, ratio * np.asarray(residual), rtol=1e-14)


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
        (X, Y, {"sample_weights": [1.0, 2.0]}, ["sample_weights", "(4,)", "(2,)"]),
        (X, Y, {"sample_weights": [1.0, -2.0, 0.0, 1.0]}, ["sample_weights", "-2.0", "[1]"]),
        (X, Y, {"sample_weights": np.zeros(4)}, ["sample_weights", "all 0"]),
        (X, Y, {"sample_weights": [1.0, np.nan, 0.0, 1.0]}, ["sample_weights", "nan", "[1]"]),
        (X + 0.5, Y, {"tokens": True}, ["inputs", "0.5", "[0, 0]", "tokens"]),
        (X - 1, Y, {"tokens": True}, ["inputs", "-1", "[0, 0]"]),
        (X, np.zeros((4, 0, 2)), {}, ["targets", "(4, 0, 2)"]),
        (X, np.zeros((3, 2, 2)), {}, ["targets", "3 rows", "4 rows"]),
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


WHOLE = [2.0, 0.0, 1.0, 3.0]
REPEATED = np.repeat(np.arange(4), [2, 0, 1, 3])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("places", [(), (3,)])
def test_a_weight_is_a_repetition(loss, reduction, places):
    """Weight 2 is the sample twice, weight 0 leaves it out; the error is the value's gradient."""
    rng = np.random.default_rng(0)
    y = rng.choice([-1.0, 1.0], (4, *places, 1))
    f = rng.standard_normal(y.shape)
    weighted = make_data(X, y, loss, reduction, sample_weights=WHOLE)
    repeated = make_data(X[REPEATED], y[REPEATED], loss, reduction)
    value, error, gradient, residual = map(np.asarray, figures(weighted, f))
    again, errors, _, residuals = map(np.asarray, figures(repeated, f[REPEATED]))
    np.testing.assert_allclose(value, again, rtol=1e-13)
    np.testing.assert_allclose(error, gradient, atol=1e-14)
    added = np.zeros(y.shape)
    np.add.at(added, REPEATED, errors)
    np.testing.assert_allclose(error, added, atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(residual), np.linalg.norm(residuals), rtol=1e-13)
    plain = float(figures(make_data(X, y, loss, reduction), f)[0])
    assert abs(plain - value) > 1e-2 * plain


def test_no_weights_are_no_leaf_and_ones_change_nothing():
    plain, ones = make_data(X, Y), make_data(X, Y, sample_weights=np.ones(4))
    assert len(jax.tree.leaves(plain)) == 3 and len(jax.tree.leaves(ones)) == 4
    f = jnp.linspace(-1.0, 2.0, 4)[:, None]
    np.testing.assert_array_equal(plain.error(f), ones.error(f))
    programs = [str(jax.make_jaxpr(lambda d: d.error(f))(data)) for data in (plain, ones)]
    assert "sqrt" not in "".join(programs) and programs[0].count("mul") + 1 == programs[1].count(
        "mul"
    )


@pytest.mark.parametrize("x64", [True, False])
def test_tokens_stay_whole_numbers_in_blocks(x64):
    """Sums over blocks, of tokens with targets at every place, weighted, are the whole's."""
    rng = np.random.default_rng(1)
    tokens, y = rng.integers(0, 5, (7, 3)), rng.standard_normal((7, 3, 2))
    with jax.enable_x64(x64):
        data = make_data(tokens, y, tokens=True, sample_weights=np.arange(7.0))
        assert data.inputs.dtype == (jnp.int64 if x64 else jnp.int32)
        table = rng.standard_normal((5, 2)).astype(data.targets.dtype)

        def pull(part):
            assert jnp.issubdtype(part.inputs.dtype, jnp.integer)
            outputs = jnp.asarray(table)[part.inputs]
            pulled = jnp.zeros(table.shape, table.dtype).at[part.inputs].add(part.error(outputs))
            return pulled, part.value(outputs)

        summed = eqx.filter_jit(lambda data: data.summed(pull))
        whole = eqx.filter_jit(pull)(data)
        for block in (1, 3, 4):
            found = summed(data.in_blocks(block))
            for one, other in zip(found, whole, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12 if x64 else 1e-4, atol=1e-6)
        outputs = data.in_blocks(3).outputs(lambda x: jnp.asarray(table)[x])
        np.testing.assert_array_equal(outputs, table[tokens])
        unweighted = float(summed(make_data(tokens, y, tokens=True).in_blocks(3))[1])
        assert abs(unweighted - whole[1]) > 1e-2 * whole[1]


def test_tokens_in_no_float():
    assert make_data(X, Y).inputs.dtype == make_data(X.astype(int), Y).inputs.dtype == jnp.float64


def test_traced_arrays_are_put_into_data_that_are_there():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"`targets` .* traced .*equinox\.tree_at") as caught:
        jax.grad(lambda y: jnp.sum(make_data(x, y).targets))(jnp.ones((2, 1)))
    assert "\n" not in str(caught.value)
