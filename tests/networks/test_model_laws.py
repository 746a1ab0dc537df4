"""Theorem 1 and its kin in convolutions, residual blocks and transformers, along the field.

Every law is a list of terms whose sum is Q: the rate of Q over the sum of the sizes of the terms'
rates is rounding, at three sizes of the model, and of order 1 where a law is not one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback, model_feedback
from faflow.feedback.draw import Gaussian
from faflow.networks import Model
from faflow.networks.models import CNN, ResNet, Transformer
from faflow.rules import FeedbackAlignment, Gradient, UniformSignSymmetry
from faflow.tasks import make_data

KEPT, BROKEN = 1e-13, 1e-3
SIZES = (0, 1, 2)


def drawn(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape)


def lesson(net, shape, loss="squared", samples=3):
    """A model, its feedback under feedback alignment, and random data."""
    model = Model(net)
    inputs = drawn(1, (samples, *shape))
    outputs = jax.eval_shape(model, jnp.asarray(inputs)).shape[1]
    targets = drawn(2, (samples, outputs))
    if loss == "cross-entropy":
        targets = np.eye(outputs)[targets.argmax(axis=1)]
    data = make_data(inputs, targets, loss)
    return model, model_feedback(Gaussian(), jax.random.key(3), model, data.inputs), data


def by_path(model, feedback, data):
    """The feedback arrays by the paths of their leaves."""
    met = model.program(data.inputs).met
    return {model.paths[i]: F for i, F in zip(met, feedback.matrices, strict=True)}


def rates(rule, model, feedback, data, laws):
    """|Q'| over the size of its terms' rates, at most over the entries of every law, by name."""
    given = feedback if rule.form == "layerwise" else Feedback()
    back, paths = by_path(model, feedback, data), model.paths

    @jax.jit
    def found(model):
        move = rule.vector_field(model, given, data)

        def terms(model):
            leaves = dict(zip(paths, jax.tree.leaves(model), strict=True))
            return {name: law(leaves, back) for name, law in laws.items()}

        return jax.jvp(terms, (model,), (move,))[1]

    def worst(terms):
        return float(np.max(np.abs(sum(terms))) / np.max(sum(map(np.abs, terms))))

    return {name: worst(terms) for name, terms in jax.device_get(found(model)).items()}


def kept(found, *names):
    for name in names:
        assert found[name] < KEPT, found


def broken(found, *names):
    for name in names:
        assert found[name] > BROKEN, found


def channels(below, above, k=1.0):
    """1/2 ||V_j||^2 - k <U_j, F_j> of hidden channels, V (hidden, ...) and U (above, hidden, ...);
    a read-out's columns lie channel by channel."""

    def terms(W, F):
        V, hidden = W[f"{below}.weight"], len(W[f"{below}.weight"])
        U, back = (
            of[f"{above}.weight"].reshape(len(of[f"{above}.weight"]), hidden, -1) for of in (W, F)
        )
        own = [jnp.sum(V.reshape(hidden, -1) ** 2, axis=1) / 2]
        if f"{below}.bias" in W:
            own.append(W[f"{below}.bias"].ravel() ** 2 / 2)
        return [*own, -k * jnp.sum(U * back, axis=(0, 2))]

    return terms


def squares(below, above):
    """The same under the gradient: U in the place of F, and half of it."""
    law = channels(below, above, k=0.5)
    return lambda W, F: law(W, W)


def summed(path):
    """Sum over outputs of a read-out's weights, per column; of its biases."""
    return lambda W, F: list(W[path])


POOLINGS = {
    "average": {"channels": (2, 3), "pooling": "average", "bias": True},
    "max": {"channels": (3, 2), "pooling": "max"},
    "strides": {"channels": (4, 3), "pooling": "none", "stride": 2, "bias": True},
}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_hidden_channels_of_convolutions_keep_their_balance(pooling):
    net = CNN((1, 6, 6), 3, key=jax.random.key(0), **POOLINGS[pooling])
    given = lesson(net, (1, 6, 6), "cross-entropy")
    pairs = {
        "first": ("convolutions.0", "convolutions.1"),
        "second": ("convolutions.1", "readout"),
    }
    laws = {name: channels(*pair) for name, pair in pairs.items()}
    laws |= {f"gradient's {name}": squares(*pair) for name, pair in pairs.items()}
    laws["columns"] = summed("readout.weight")
    found = rates(FeedbackAlignment(), *given, laws)
    kept(found, "first", "second", "columns")
    broken(found, "gradient's first", "gradient's second")
    found = rates(Gradient(), *given, laws)
    kept(found, "gradient's first", "gradient's second", "columns")
    broken(found, "first", "second")


def squared_relu(h):
    return jax.nn.relu(h) ** 2


@pytest.mark.parametrize("size", SIZES)
def test_residual_blocks_keep_their_balance_and_skips_have_none(size):
    """Under phi of degree k = 1 and 2."""
    channel, hidden, norm = [(2, 3, False), (3, 2, True), (4, 5, False)][size]
    phi, k = [(jax.nn.relu, 1.0), (jax.nn.relu, 1.0), (squared_relu, 2.0)][size]
    net = ResNet(
        (1, 4, 4), 2, key=jax.random.key(size), channels=channel, hidden=hidden, norm=norm,
        activation=phi,
    )  # fmt: skip
    laws = {
        "block 0": channels("blocks.0.conv1", "blocks.0.conv2", k),
        "block 1": channels("blocks.1.conv1", "blocks.1.conv2", k),
        "across a skip": channels("blocks.0.conv2", "blocks.1.conv1", k),
        "another degree": channels("blocks.0.conv1", "blocks.0.conv2", 3 - k),
    }
    found = rates(FeedbackAlignment(), *lesson(net, (1, 4, 4)), laws)
    kept(found, "block 0", "block 1")
    broken(found, "across a skip", "another degree")


def per_head(law, heads, width):
    """A law of (matrices (width, .) of head h) over the heads of `eqx.nn.MultiheadAttention`."""

    def of_head(h):
        rows = slice(h * width, (h + 1) * width)

        def take(leaves, name):
            leaf = leaves.get(f"blocks.0.attention.{name}_proj.weight")
            return leaf.T[rows] if name == "output" else leaf[rows]

        return take

    def terms(W, F):
        found = [law(of_head(h), W, F) for h in range(heads)]
        return [jnp.stack(parts) for parts in zip(*found, strict=True)]

    return terms


def value_output(take, W, F):
    """V V^T - O F_O^T - F_O O^T."""
    V, O, back = take(W, "value"), take(W, "output"), take(F, "output")
    return [V @ V.T, -O @ back.T, -back @ O.T]


def value_output_of_gradient(take, W, F):
    V, O = take(W, "value"), take(W, "output")
    return [V @ V.T, -O @ O.T]


def query_key(take, W, F):
    Q, K = take(W, "query"), take(W, "key")
    return [Q @ Q.T, -K @ K.T]


def query_key_fed_back(take, W, F):
    Q, K, back = take(W, "query"), take(W, "key"), take(F, "key")
    return [Q @ Q.T, -K @ back.T, -back @ K.T]


@pytest.mark.parametrize("size", SIZES)
def test_heads_and_hidden_units_of_a_transformer_keep_their_laws(size):
    heads, width, unit, norm = [
        (1, 4, "relu", False),
        (2, 4, "swiglu", True),
        (3, 6, "relu", True),
    ][size]
    net = Transformer(
        3, 2, key=jax.random.key(size), width=width, heads=heads, depth=1, hidden=5, unit=unit,
        norm=norm, causal=size != 1,
    )  # fmt: skip
    given = lesson(net, (4, 3), "cross-entropy")
    each = width // heads
    laws = {
        "V, O": per_head(value_output, heads, each),
        "V, O of the gradient": per_head(value_output_of_gradient, heads, each),
        "Q, K": per_head(query_key, heads, each),
        "Q, K fed back": per_head(query_key_fed_back, heads, each),
        "hidden units": channels("blocks.0.mlp.up", "blocks.0.mlp.down"),
        "columns": summed("readout.weight"),
    }
    if unit == "swiglu":
        laws["gate"] = channels("blocks.0.mlp.gate", "blocks.0.mlp.down")
    found = rates(FeedbackAlignment(), *given, laws)
    kept(found, "V, O", "Q, K", "hidden units", "columns")
    broken(found, "V, O of the gradient", "Q, K fed back")
    if unit == "swiglu":
        broken(found, "gate")
    found = rates(Gradient(), *given, laws)
    kept(found, "V, O of the gradient", "Q, K", "columns")
    broken(found, "V, O", "hidden units")


class KeysOnTheWay(eqx.Module):
    """Attention whose scores are x^T (K^T (Q x)): the signal to Q passes through K, as weights."""

    query: jax.Array
    key: jax.Array
    value: jax.Array
    output: jax.Array

    def __call__(self, x):
        probes = (x @ self.query.T) @ self.key
        weights = jax.nn.softmax(probes @ x.T, axis=-1)
        return ((weights @ (x @ self.value.T)) @ self.output.T)[-1]


@pytest.mark.parametrize("size", SIZES)
def test_keys_that_the_signal_to_queries_passes_through(size):
    """Q Q^T - K F_K^T - F_K K^T where F_K stands in what goes back to Q, Q true in K's."""
    width, each = [(3, 2), (4, 3), (5, 2)][size]
    shapes = [(each, width)] * 3 + [(width, each)]
    leaves = [jnp.asarray(drawn(10 + i, shape)) for i, shape in enumerate(shapes)]
    given = lesson(KeysOnTheWay(*leaves), (4, width))

    laws = {
        "fed back": lambda W, F: [
            W["query"] @ W["query"].T, -W["key"] @ F["key"].T, -F["key"] @ W["key"].T
        ],
        "true": lambda W, F: [W["query"] @ W["query"].T, -W["key"] @ W["key"].T],
    }  # fmt: skip
    found = rates(FeedbackAlignment(), *given, laws)
    kept(found, "fed back")
    broken(found, "true")
    found = rates(Gradient(), *given, laws)
    kept(found, "true")


class Normed(eqx.Module):
    first: eqx.nn.Linear
    norm: eqx.nn.LayerNorm
    second: eqx.nn.Linear

    def __init__(self, width, hidden, eps, key):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(width, hidden, use_bias=False, key=one)
        self.norm = eqx.nn.LayerNorm(hidden, eps=eps)
        self.second = eqx.nn.Linear(hidden, 2, key=two)

    def __call__(self, x):
        return self.second(jnp.tanh(self.norm(self.first(x))))


@pytest.mark.parametrize("size", SIZES)
def test_a_normalised_group_keeps_its_norm_under_any_chain_rule(size):
    width, hidden = [(3, 4), (2, 5), (4, 3)][size]
    laws = {"norm": lambda W, F: list(W["first.weight"].ravel() ** 2)}
    for rule in (FeedbackAlignment(), UniformSignSymmetry()):
        for eps, judge in ((0.0, kept), (1.0, broken)):
            net = Normed(width, hidden, eps, jax.random.key(size))
            judge(rates(rule, *lesson(net, (width,)), laws), "norm")
