"""Direct feedback on models that name their blocks: fields of MLPs, laws, refusals."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from user_nets import KEY, drawn, far, field_of

from faflow.feedback import Feedback, counterparts, draw_feedback, model_feedback
from faflow.feedback.draw import EqualToWeights, Gaussian
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.networks import MLP, Model
from faflow.networks.activations import Tanh
from faflow.networks.models import CNN, MLPModule, ResNet, Transformer
from faflow.rules import RULES, DirectFeedbackAlignment, FeedbackAlignment, says_no_more
from faflow.rules.backward import AbstractDirectRule
from faflow.tasks import make_data

DIRECT = [
    "direct-feedback-alignment",
    "sign-error-direct-feedback",
    "direct-random-target-projection",
]


@eqx.filter_jit
def rates_of(terms, network, move):
    """How fast the terms of a law change along the move."""
    return jax.jvp(terms, (network,), (move,))[1]


DATA = make_data(drawn(0, 5, 3), drawn(1, 5, 2), reduction="mean")


class Hidden(eqx.Module):
    linear: eqx.nn.Linear

    def __call__(self, x):
        return jnp.tanh(self.linear(x))


class Net(eqx.Module):
    """An MLP whose blocks are hidden layers with their activations."""

    blocks: list[Hidden]
    readout: eqx.nn.Linear
    remat: bool = eqx.field(static=True, default=False)
    feedback_blocks: ClassVar[tuple[str, ...]] = ("blocks.*",)

    def __call__(self, x):
        for block in self.blocks:
            call = lambda of, x: of(x)  # noqa: E731
            x = (eqx.filter_checkpoint(call) if self.remat else eqx.filter_jit(call))(block, x)
        return self.readout(x)


def mlps(remat=False):
    keys = jax.random.split(KEY, 3)
    pairs = zip((3, 4, 5), (4, 5, 2), keys, strict=True)
    layers = [eqx.nn.Linear(into, out, key=key) for into, out, key in pairs]
    net = Net([Hidden(layer) for layer in layers[:-1]], layers[-1], remat)
    weights = tuple(layer.weight for layer in layers), tuple(layer.bias for layer in layers)
    return net, MLP(*weights, Tanh())


def as_mlp(model):
    net = model.moving
    layers = [*(block.linear for block in net.blocks), net.readout]
    return [layer.weight for layer in layers], [layer.bias for layer in layers]


@pytest.mark.parametrize("remat", [False, True])
def test_an_mlp_whose_hidden_layers_are_blocks_has_the_direct_fields_of_an_mlp(remat):
    net, mlp = mlps(remat)
    model = Model(net)
    back = draw_feedback(Gaussian(0.7), KEY, (3, 4, 5, 2), "direct")
    found = model_feedback(Gaussian(0.7), KEY, model, DATA.inputs, "direct")
    assert far(found.matrices, back.matrices) == 0.0
    for name in DIRECT:
        rule = RULES[name]()
        one, two = (field_of(rule, of, back, DATA) for of in (model, mlp))
        assert far(as_mlp(one), (two.weights, two.biases)) < 1e-14, name
        # The control: what goes through the layers above instead is another field.
        other = draw_feedback(Gaussian(0.7), KEY, (3, 4, 5, 2), "layerwise")
        layered = field_of(FeedbackAlignment(), mlp, other, DATA)
        assert far(as_mlp(one), (layered.weights, layered.biases)) > 1e-2
    in_blocks = field_of(DirectFeedbackAlignment(), model, back, DATA.in_blocks(2))
    whole = field_of(DirectFeedbackAlignment(), model, back, DATA)
    assert far(in_blocks, whole) < 1e-14


def test_every_direct_rule_of_that_form_is_tried():
    made = {name: rule() for name, rule in RULES.items()}
    drives = [name for name, rule in made.items() if says_no_more(rule, AbstractDirectRule)]
    assert [name for name in drives if made[name].form == "direct"] == DIRECT[:1]
    for name in set(drives) - set(DIRECT):  # chained feedback from layer to layer
        with pytest.raises(ValueError, match="goes back layer by layer"):
            FlowProblem(made[name], mlps()[0], Feedback((), "layerwise"), DATA)


def test_a_flow_under_direct_feedback_is_that_of_the_mlp():
    net, mlp = mlps()
    back = draw_feedback(Gaussian(), KEY, (3, 4, 5, 2), "direct")
    ends = [
        integrate(
            FlowProblem(DirectFeedbackAlignment(), of, back, DATA),
            np.array([0.0, 1.0]),
            {},
            Numerics(rtol=1e-10),
        ).weights
        for of in (net, mlp)
    ]
    assert far(as_mlp(ends[0]), (ends[1].weights, ends[1].biases)) < 1e-9
    assert isinstance(ends[0].module.blocks[0], Hidden)


def test_blocks_cost_nothing_where_no_rule_asks_for_them():
    net, _ = mlps()
    programs = [Model(net, blocks=of).program(DATA.inputs).closed for of in (None, ())]
    assert str(programs[0]) == str(programs[1])
    assert "block_output" not in str(programs[0])
    assert "block_output" in str(Model(net).cut(DATA.inputs).closed)


def last_balance(model, place, readout, back):
    """1/2 ||V_j||^2 - <U_j, D_j> of the channels below the read-out: its terms."""

    def terms(net):
        leaves = dict(zip(model.paths, jax.tree.leaves(net), strict=True))
        V = leaves[f"{place}.weight"]
        U, D = (of.reshape(len(of), len(V), -1) for of in (leaves[readout], back))
        own = [jnp.sum(V.reshape(len(V), -1) ** 2, axis=1) / 2]
        own += [leaves[f"{place}.bias"].ravel() ** 2 / 2] if f"{place}.bias" in leaves else []
        return [*own, -jnp.sum(U * D, axis=(0, 2))]

    return terms


@pytest.mark.parametrize("size", [0, 1, 2])
def test_the_last_hidden_layer_keeps_its_balance_and_the_one_below_keeps_none(size):
    channels, pooling = [((2, 3), "average"), ((3, 2), "max"), ((2, 4), "none")][size]
    net = CNN((1, 4, 4), 2, key=KEY, channels=channels, pooling=pooling, bias=size > 0)
    model = Model(net)
    data = make_data(drawn(2, 3, 1, 4, 4), drawn(3, 3, 2))
    back = model_feedback(Gaussian(), KEY, model, data.inputs, "direct")
    places = model.cut(data.inputs).places
    assert [place.path for place in places] == ["pool.0", "pool.1"]
    move = field_of(DirectFeedbackAlignment(), model, back, data)

    def rate(layer, other):
        law = last_balance(model, f"convolutions.{layer}", other, back.matrices[layer])
        terms = rates_of(law, model, move)
        return float(np.max(np.abs(sum(terms))) / np.max(sum(map(np.abs, terms))))

    assert rate(1, "readout.weight") < 1e-13
    below = "convolutions.1.weight"
    # The layer below with the feedback of its own, as feedback alignment has it.
    law = lambda net: [  # noqa: E731
        jnp.sum(net.module.convolutions[0].weight ** 2, axis=(1, 2, 3)) / 2,
        -jnp.sum(net.module.convolutions[1].weight * drawn(4, *leaf_of(model, below).shape),
                 axis=(0, 2, 3)),
    ]  # fmt: skip
    terms = rates_of(law, model, move)
    assert np.max(np.abs(sum(terms))) / np.max(sum(map(np.abs, terms))) > 1e-3
    # And the last one with D of another draw.
    other = model_feedback(Gaussian(), jax.random.key(1), model, data.inputs, "direct")
    law = last_balance(model, "convolutions.1", "readout.weight", other.matrices[1])
    terms = rates_of(law, model, move)
    assert np.max(np.abs(sum(terms))) / np.max(sum(map(np.abs, terms))) > 1e-3


def leaf_of(model, path):
    return dict(zip(model.paths, jax.tree.leaves(model), strict=True))[path]


@eqx.filter_jit
def cut_by_hand(net, back, inputs, error):
    """The transformer's field, block by block: each block's own vjp at e D_b."""
    signal = lambda b: jnp.einsum("no,o...->n...", error, back.matrices[b])  # noqa: E731
    moves = {}
    embed = lambda part, x: jax.vmap(jax.vmap(part))(x)  # noqa: E731
    x, through = jax.vjp(lambda part: embed(part, inputs), net.embed)
    moves["embed"] = through(signal(0))[0]
    for i, block in enumerate(net.blocks):
        moving, rest = eqx.partition(block, eqx.is_inexact_array)
        call = lambda part, x=x, rest=rest: jax.vmap(eqx.combine(part, rest))(x)  # noqa: E731
        x, through = jax.vjp(call, moving)
        moves[f"blocks.{i}"] = through(signal(i + 1))[0]
    _, through = jax.vjp(lambda part, x=x: jax.vmap(part)(x[:, -1]), net.readout)
    return moves | {"readout": through(error)[0]}


def test_blocks_of_a_transformer_hear_the_error_at_every_place():
    net = Transformer(3, 2, key=KEY, width=4, depth=2, hidden=3)
    model = Model(net)
    data = make_data(drawn(2, 3, 3, 3), drawn(3, 3, 2))
    back = model_feedback(Gaussian(), KEY, model, data.inputs, "direct")
    assert [matrix.shape for matrix in back.matrices] == [(2, 3, 4)] * 3
    move = field_of(DirectFeedbackAlignment(), model, back, data).module
    expected = cut_by_hand(net, back, data.inputs, data.error(model(data.inputs)))
    parts = {"embed": move.embed, "readout": move.readout}
    parts |= {f"blocks.{i}": block for i, block in enumerate(move.blocks)}
    for name, part in parts.items():
        leaves = [
            -np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(part, eqx.is_inexact_array))
        ]
        assert far(leaves, jax.tree.leaves(expected[name])) < 1e-13, name


def test_the_shipped_mlp_hears_the_error_after_its_activations():
    net = MLPModule(3, 2, key=KEY, hidden=(4, 5), activation="tanh", bias=True)
    weights = [layer.weight for layer in net.layers], [layer.bias for layer in net.layers]
    back = model_feedback(Gaussian(), KEY, Model(net), DATA.inputs, "direct")
    rule = DirectFeedbackAlignment()
    move = field_of(rule, Model(net), back, DATA).module.layers
    expected = field_of(rule, MLP(*map(tuple, weights), Tanh()), back, DATA)
    found = [layer.weight for layer in move], [layer.bias for layer in move]
    assert far(found, (expected.weights, expected.biases)) < 1e-14


class Tokens(eqx.Module):
    """Outputs at every place of a sequence."""

    block: eqx.Module
    readout: eqx.nn.Linear

    def __call__(self, x):
        return jax.vmap(self.readout)(self.block(x.T).T)


class Mixed(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.weight @ x)


def test_outputs_at_many_places_are_all_heard_by_a_block():
    net = Tokens(Mixed(jnp.asarray(drawn(4, 5, 3))), eqx.nn.Linear(5, 2, use_bias=False, key=KEY))
    model = Model(net, blocks=("block",))
    data = make_data(drawn(5, 3, 4, 3), drawn(6, 3, 4, 2))
    back = model_feedback(Gaussian(), KEY, model, data.inputs, "direct")
    assert [matrix.shape for matrix in back.matrices] == [(4, 2, 5, 4)]
    move = field_of(DirectFeedbackAlignment(), model, back, data).module.block.weight
    error = model(data.inputs) - data.targets
    h = jnp.einsum("ij,ntj->nit", net.block.weight, data.inputs)
    signal = jnp.einsum("nto,toiu->niu", error, back.matrices[0]) * (1 - jnp.tanh(h) ** 2)
    assert far(move, -jnp.einsum("niu,nuj->ij", signal, data.inputs)) < 1e-13


def test_a_resnet_names_its_blocks():
    net = ResNet((1, 4, 4), 2, key=KEY, channels=2, hidden=3, depth=1)
    places = Model(net).cut(jnp.zeros((2, 1, 4, 4))).places
    assert [place.path for place in places] == ["stem", "blocks.0"]


class Positions(eqx.Module):
    table: jax.Array

    def __call__(self):
        return self.table


class Odd(eqx.Module):
    """A block that hears no sample, one in a loop, one that makes no array."""

    positions: Positions
    layer: eqx.nn.Linear
    pair: Positions

    def __call__(self, x):
        x = x + self.positions()
        x = jax.lax.fori_loop(0, 2, lambda _, x: jnp.tanh(self.layer(x)), x)
        return x + self.pair()[0]


def odd(block):
    net = Odd(Positions(jnp.ones(3)), eqx.nn.Linear(3, 3, key=KEY), Positions((jnp.ones(3),)))
    return Model(net, blocks=[block])


REFUSED = {
    "needs one row for each of them": lambda: odd("positions").cut(jnp.zeros((2, 3))),
    "is called inside scan": lambda: odd("layer").cut(jnp.zeros((2, 3))),
    "returns a tuple": lambda: odd("pair").cut(jnp.zeros((2, 3))),
    "names nothing that Odd calls": lambda: odd("positions.table"),
    "Odd names none": lambda: model_feedback(
        Gaussian(), KEY, Model(odd("layer").module), jnp.zeros((2, 3)), "direct"
    ),
    "are no one matrix": lambda: model_feedback(
        EqualToWeights(), KEY, Model(mlps()[0]), DATA.inputs, "direct"
    ),
    "stands for no weights": lambda: counterparts(Model(mlps()[0]), "direct", DATA.inputs),
    "the feedback of `blocks.0`": lambda: FlowProblem(
        DirectFeedbackAlignment(), mlps()[0], Feedback((jnp.ones((2, 5)),), "direct"), DATA
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_direct_feedback_can_not_serve_is_one_line(words):
    with pytest.raises(ValueError) as caught:
        REFUSED[words]()
    assert words.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)
