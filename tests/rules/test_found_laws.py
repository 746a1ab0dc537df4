"""Laws found by their rates are those that theory states, and no others; their values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback, model_feedback
from faflow.feedback.draw import Gaussian
from faflow.networks import Model
from faflow.networks.models import CNN, MLPModule, ResNet, Transformer
from faflow.rules import FeedbackAlignment, Gradient, model_laws
from faflow.rules.models.null_space import sparse_null_space
from faflow.tasks import make_data

KEY = jax.random.key(0)


def found(net, shape, rule=None, loss="squared", outputs=3):
    """The laws, and what they are laws of."""
    rng = np.random.default_rng(0)
    model, rule = Model(net), FeedbackAlignment() if rule is None else rule
    targets = np.eye(outputs)[np.arange(4) % outputs]
    data = make_data(rng.normal(size=(4, *shape)), targets, loss)
    given = model_feedback(Gaussian(), jax.random.key(1), model, data.inputs)
    feedback = Feedback() if rule.form == "none" else given
    return model_laws(rule, model, feedback, data), model, feedback, data


def leaves_of(model):
    return dict(zip(model.paths, map(np.asarray, jax.tree.leaves(model)), strict=True))


def test_a_cnn_under_cross_entropy():
    """1/2 |V_j|^2 + 1/2 b_j^2 - <U_j, F_j> per channel; the read-out reads channels of an image."""
    net = CNN((1, 6, 6), 3, key=KEY, channels=(3, 4), bias=True)
    laws, model, feedback, data = found(net, (1, 6, 6), loss="cross-entropy")
    assert set(laws) == {"layer-balance", "neuron-balance", "readout-sum"}
    first, second = "convolutions.0", "convolutions.1"
    places = {f"{first} + {first}.bias -> {second}", f"{second} + {second}.bias -> readout"}
    assert set(laws["neuron-balance"].places) == places
    by_hand = {}
    w, (F1, F2) = leaves_of(model), map(np.asarray, feedback.matrices)
    own = lambda at: (w[f"{at}.weight"] ** 2).sum((1, 2, 3)) / 2 + w[f"{at}.bias"].ravel() ** 2 / 2  # noqa: E731
    by_hand[first] = own(first) - (w[f"{second}.weight"] * F1).sum((0, 2, 3))
    read = (w["readout.weight"] * F2).reshape(3, 4, -1)
    by_hand[second] = own(second) - read.sum((0, 2))
    values = laws["neuron-balance"](model, feedback, data)
    for place, value in zip(laws["neuron-balance"].places, values, strict=True):
        np.testing.assert_allclose(value, by_hand[place.split(" + ")[0]], atol=1e-14)
    sums = laws["readout-sum"](model, feedback, data)
    np.testing.assert_allclose(sums[0], w["readout.weight"].sum(0), atol=1e-15)


def test_blocks_and_the_stream_of_a_residual_net():
    """Per hidden channel of each block; and all writers of the stream balance all its readers."""
    net = ResNet((1, 6, 6), 3, key=KEY, channels=4, hidden=3, depth=2)
    laws, model, feedback, data = found(net, (1, 6, 6))
    blocks = {f"blocks.{i}.conv1 -> blocks.{i}.conv2" for i in range(2)}
    (stream,) = set(laws["layer-balance"].places) - blocks
    assert blocks < set(laws["layer-balance"].places)
    below, above = stream.split(" -> ")
    assert set(below.split(" + ")) == {"stem", "blocks.0.conv2", "blocks.1.conv2"}
    assert set(above.split(" + ")) == {"blocks.0.conv1", "blocks.1.conv1", "readout"}
    w = leaves_of(model)
    F = dict(
        zip(("0.1", "0.2", "1.1", "1.2", "r"), map(np.asarray, feedback.matrices), strict=True)
    )
    by_hand = sum((w[f"{at}.weight"] ** 2).sum((1, 2, 3)) / 2 for at in below.split(" + "))
    by_hand -= sum((w[f"blocks.{i}.conv1.weight"] * F[f"{i}.1"]).sum((0, 2, 3)) for i in range(2))
    by_hand -= (w["readout.weight"] * F["r"]).sum(0)
    law = laws["neuron-balance"]
    value = law(model, feedback, data)[law.places.index(stream)]
    np.testing.assert_allclose(value, by_hand, atol=1e-14)


def test_heads_and_hidden_units_of_a_transformer():
    """V V^T - O F^T - F O^T and Q Q^T - K K^T by heads; SwiGLU's units; B of SwiGLU has none."""
    net = Transformer(3, 2, key=KEY, width=4, heads=2, depth=1, hidden=6, unit="swiglu")
    laws, *_ = found(net, (4, 3), outputs=2)
    at = "blocks.0.attention"
    heads = {f"{at}.value_proj -> {at}.output_proj", f"{at}.query_proj -> {at}.key_proj"}
    pairs = {*heads, "blocks.0.mlp.up -> blocks.0.mlp.down"}
    assert pairs < set(laws["layer-balance"].places)
    assert len(laws["layer-balance"].places) == len(pairs) + 1  # the stream
    matrix = laws["matrix-balance"]
    assert heads < set(matrix.places)
    kept = np.asarray(matrix.kept[matrix.places.index(f"{at}.value_proj -> {at}.output_proj")])
    np.testing.assert_array_equal(kept, np.kron(np.eye(2), np.ones((2, 2))))  # two heads of two


def test_a_norm_keeps_the_stream_from_balancing():
    net = Transformer(3, 2, key=KEY, width=4, heads=1, depth=1, hidden=3, unit="gelu", norm=True)
    laws, *_ = found(net, (4, 3), Gradient(), outputs=2)
    assert "blocks.0.attention.value_proj -> blocks.0.attention.output_proj" in (
        laws["layer-balance"].places
    )
    assert not any(place.startswith("embed") for place in laws["layer-balance"].places)
    assert not any("mlp.down" in place for place in laws["layer-balance"].places)  # gelu


@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_smooth_units_keep_nothing(activation):
    laws, *_ = found(MLPModule(3, 3, key=KEY, hidden=(4,), activation=activation), (3,))
    assert laws == {}


def test_linear_layers_keep_whole_matrices():
    net = MLPModule(5, 3, key=KEY, hidden=(4,), activation="identity")
    laws, model, feedback, data = found(net, (5,))
    w, (F,) = leaves_of(model), map(np.asarray, feedback.matrices)
    first, second = w["layers.0.weight"], w["layers.1.weight"]
    by_hand = first @ first.T - second.T @ F - F.T @ second
    np.testing.assert_allclose(
        laws["matrix-balance"](model, feedback, data)[0], by_hand, atol=1e-14
    )


def test_a_null_space_in_few_entries_each():
    """Two relations among seven quantities, hidden among random ones; no relation, no row."""
    rng = np.random.default_rng(3)
    rates = rng.normal(size=(40, 7))
    rates[:, 4] = rates[:, 0] + 2 * rates[:, 1]
    rates[:, 6] = -rates[:, 2]
    rows = sparse_null_space(rates, np.ones(7), 1e-10)
    scaled = [row / row[np.flatnonzero(row)[0]] for row in rows]
    wanted = [[1, 2, 0, 0, -1, 0, 0], [0, 0, 1, 0, 0, 0, 1]]
    np.testing.assert_allclose(sorted(map(list, scaled), reverse=True), wanted, atol=1e-12)
    rates[:, 6] *= 1 + 1e-6 * rng.normal(size=40)
    assert len(sparse_null_space(rates, np.ones(7), 1e-10)) == 1
    assert sparse_null_space(rng.normal(size=(40, 7)), np.ones(7), 1e-10).shape == (0, 7)


def test_laws_of_one_leaf_and_of_sums():
    """A norm over all of W x keeps 1/2 ||W||^2, and the sum of W over its rows."""

    class Normed(MLPModule):
        def __call__(self, x):
            first, second = self.layers
            h = first(x)
            h = h - jnp.mean(h)
            return second(jnp.tanh(h / jnp.sqrt(jnp.mean(h**2))))

    laws, *_ = found(Normed(4, 3, key=KEY, hidden=(5,)), (4,))
    assert laws["leaf-norm"].places == ("layers.0",)
    assert laws["leaf-sum"].places == ("layers.0.weight",)
    assert set(laws) == {"leaf-norm", "leaf-sum"}
