"""Samples of weight n are samples n times, those of weight 0 are none: the fields of all rules,
the predicted exponent, the discrete rule; and models that read tokens and answer at every place."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from faflow import FlowProblem
from faflow.analysis.prediction import residual_operator
from faflow.feedback import FEEDBACKS, draw_feedback, model_feedback
from faflow.flow.devices import _spread_data
from faflow.flow.discrete import _batch
from faflow.networks import ACTIVATIONS, MLP, Model
from faflow.rules import RULES, FeedbackAlignment, Gradient, effective_kernel, weight_velocity
from faflow.solved.needs import UnsolvedError, need_two_linear_layers
from faflow.tasks import SAMPLES, make_data, make_task

COUNTS = np.array([2, 0, 1, 3, 1, 1, 2])
REPEATED = np.repeat(np.arange(len(COUNTS)), COUNTS)
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((7, 3)), RNG.standard_normal((7, 1))


def net_and_feedback(form, widths=(3, 4, 3, 1), activation="tanh"):
    rng = np.random.default_rng(1)
    shapes = [(out, into) for into, out in itertools.pairwise(widths)]
    net = MLP(tuple(jnp.asarray(rng.standard_normal(s)) for s in shapes),
              activation=ACTIVATIONS[activation]())  # fmt: skip
    drawn = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(0), widths, form, net)
    return net, drawn


def pair(reduction="sum"):
    weighted = make_data(X, Y, reduction=reduction, sample_weights=COUNTS.astype(float))
    return weighted, make_data(X[REPEATED], Y[REPEATED], reduction=reduction)


@pytest.mark.parametrize("name", RULES)
def test_the_field_of_every_rule(name):
    rule = RULES[name]()
    net, feedback = net_and_feedback(rule.form)
    field = lambda data: ravel_pytree(weight_velocity(rule, net, feedback, data)[0])[0]  # noqa: E731
    weighted, repeated = (field(data) for data in pair("mean"))
    size = np.linalg.norm(repeated)
    assert np.linalg.norm(weighted - repeated) <= 1e-12 * size
    plain = field(make_data(X, Y, reduction="mean"))
    assert np.linalg.norm(plain - repeated) > 1e-2 * size


def test_the_residuals_operator():
    """Its spectrum, but for zeros, is that of the repeated samples."""
    net, feedback = net_and_feedback("layerwise", (3, 4, 1))
    spectra = []
    for data in pair():
        operator = residual_operator(FeedbackAlignment(), net, feedback, data)
        units = np.eye(len(data.targets))[:, :, None]
        matrix = np.stack([np.asarray(operator(jnp.asarray(u))).ravel() for u in units], axis=1)
        found = np.sort_complex(np.linalg.eigvals(matrix))
        spectra.append(found[np.abs(found) > 1e-10 * np.abs(found).max()])
    np.testing.assert_allclose(spectra[0], spectra[1], rtol=1e-9)
    plain = residual_operator(FeedbackAlignment(), net, feedback, make_data(X, Y))
    unit = jnp.asarray(np.eye(7)[3][:, None])
    weighted = residual_operator(FeedbackAlignment(), net, feedback, pair()[0])
    np.testing.assert_allclose(weighted(unit)[3], 3 * plain(unit)[3], rtol=1e-12)


def test_rows_keep_their_weights():
    """In a mini-batch of the discrete rule, and spread over the devices of a mesh."""
    data, order = pair()[0], jnp.asarray([3, 0, 1, 6, 2, 5, 4])
    some = _batch(data, order, jnp.asarray(1), 3)
    np.testing.assert_array_equal(some.sample_weights, COUNTS[[6, 2, 5]])
    assert _batch(make_data(X, Y), order, jnp.asarray(1), 3).sample_weights is None
    mesh = jax.make_mesh((1,), (SAMPLES,))
    spread = _spread_data(data, mesh)
    value = lambda part: part.value(jnp.ones_like(part.targets))  # noqa: E731
    np.testing.assert_allclose(spread.summed(value), value(data), rtol=1e-14)


def test_exact_solutions_ask_for_one_weight():
    net, feedback = net_and_feedback("layerwise", (3, 4, 1), "linear")
    for data, refused in zip(pair(), (True, False), strict=True):
        problem = FlowProblem(FeedbackAlignment(), net, feedback, data)
        if refused:
            with pytest.raises(UnsolvedError, match="weight"):
                need_two_linear_layers(problem)
        else:
            need_two_linear_layers(problem)


def test_layers_take_numbers_and_vectors():
    net, feedback = net_and_feedback("layerwise", (3, 4, 1))
    tokens = make_data(np.ones((2, 3)), np.ones(2), tokens=True)
    places = make_data(np.ones((2, 3)), np.ones((2, 5, 1)))
    for data, words in ((tokens, "tokens"), (places, r"\(5, 1\)")):
        with pytest.raises(ValueError, match=words) as caught:
            FlowProblem(FeedbackAlignment(), net, feedback, data)
        assert "\n" not in str(caught.value)


class Reader(eqx.Module):
    """Answers at every place of a sequence of tokens."""

    embed: eqx.nn.Embedding
    up: eqx.nn.Linear
    out: eqx.nn.Linear

    def __init__(self, key):
        one, two, three = jax.random.split(key, 3)
        self.embed = eqx.nn.Embedding(5, 3, key=one)
        self.up = eqx.nn.Linear(3, 4, key=two)
        self.out = eqx.nn.Linear(4, 2, use_bias=False, key=three)

    def __call__(self, tokens):
        x = jax.vmap(self.embed)(tokens)
        x = x + jnp.mean(x, axis=0, keepdims=True)  # places hear each other
        return jax.vmap(self.out)(jnp.tanh(jax.vmap(self.up)(x)))


def reader(loss="cross-entropy"):
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 5, (6, 4))
    hot = np.eye(2)[rng.integers(0, 2, (6, 4))]
    model = Model(Reader(jax.random.key(0)))
    data = make_data(tokens, hot, loss, tokens=True, sample_weights=np.arange(6.0))
    feedback = model_feedback(FEEDBACKS["gaussian"](), jax.random.key(1), model, data.inputs)
    return model, feedback, data


def test_a_model_of_tokens_with_a_loss_at_every_place():
    """The gradient is that of the loss written here; feedback changes it, blocks don't."""
    model, feedback, data = reader()
    FlowProblem(FeedbackAlignment(), model, feedback, data)

    def loss(module):
        logits = jax.vmap(module)(data.inputs)
        picked = jnp.sum(jax.nn.log_softmax(logits) * data.targets, axis=(1, 2))
        return -jnp.sum(jnp.arange(6.0) * picked)

    flat = lambda tree: ravel_pytree(jax.tree.leaves(tree))[0]  # noqa: E731
    wanted = flat(eqx.filter_jit(eqx.filter_grad(loss))(model.module))

    @eqx.filter_jit  # a hundred programs otherwise
    def rows(rule, d):
        return flat(weight_velocity(rule, model, feedback, d)[0])

    np.testing.assert_allclose(-rows(Gradient(), data), wanted, atol=1e-12)
    np.testing.assert_allclose(-rows(Gradient(), data.in_blocks(4)), wanted, atol=1e-12)
    apart = np.linalg.norm(rows(FeedbackAlignment(), data) + wanted)
    assert apart > 1e-2 * np.linalg.norm(wanted)
    unweighted = rows(Gradient(), dataclasses.replace(data, sample_weights=None))
    assert np.linalg.norm(unweighted + wanted) > 1e-2 * np.linalg.norm(wanted)


def test_the_kernel_of_a_model_with_places():
    """J J^T by autodiff, over samples, places and outputs."""
    model, feedback, data = reader("squared")
    kernel = np.asarray(effective_kernel(Gradient(), model, feedback, data))
    assert kernel.shape == (6, 4, 2, 6, 4, 2)
    flat, unravel = ravel_pytree(model)
    by_autodiff = jax.jit(jax.jacobian(lambda v: unravel(v)(data.inputs).ravel()))
    jacobian = np.asarray(by_autodiff(flat))
    np.testing.assert_allclose(kernel.reshape(48, 48), jacobian @ jacobian.T, atol=1e-12)


def test_modular_addition_as_tokens_fits_an_embedding():
    data = make_task("modular-addition", key=0, modulus=5, tokens=True, loss="cross-entropy").data

    class Adder(eqx.Module):
        embed: eqx.nn.Embedding
        out: eqx.nn.Linear

        def __call__(self, pair):
            return self.out(jnp.sum(jax.vmap(self.embed)(pair), axis=0) ** 2)

    one, two = jax.random.split(jax.random.key(0))
    model = Model(Adder(eqx.nn.Embedding(5, 4, key=one), eqx.nn.Linear(4, 5, key=two)))
    feedback = model_feedback(FEEDBACKS["gaussian"](), one, model, data.inputs)
    FlowProblem(FeedbackAlignment(), model, feedback, data)
