"""Equinox Modules as networks: what moves, what is refused, and fields against other oracles."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp
from scipy.linalg import toeplitz
from user_nets import KEY, Net, drawn, far, field_of, net_of

from faflow.feedback import Feedback, draw_feedback, model_feedback
from faflow.feedback.draw import EqualToWeights, Gaussian
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.networks import MLP, Model
from faflow.networks.activations import Tanh
from faflow.networks.models import CNN, ResNet, Transformer
from faflow.observables import Loss
from faflow.rules import (
    RULES,
    AbstractChainRule,
    FeedbackAlignment,
    Gradient,
    LearningRates,
    WeightNormalisation,
)
from faflow.tasks import make_data


@eqx.filter_jit
def speed_of(rule, state, feedback, data):
    return rule.velocity(jnp.zeros(()), state, feedback, data)


def mlps(bias):
    """The same weights as a Module and as faflow's MLP."""
    net = net_of(3, 4, 4, 2, bias=bias)
    biases = tuple(layer.bias for layer in net.layers) if bias else ()
    return net, MLP(tuple(layer.weight for layer in net.layers), biases, Tanh())


DATA = make_data(drawn(0, 5, 3), drawn(1, 5, 2))
CHAINS = [name for name, rule in RULES.items() if issubclass(rule, AbstractChainRule)]
MOVING = ["kolen-pollack", "weight-mirror"]


@pytest.mark.parametrize("bias", [False, True])
def test_an_mlp_as_a_module_has_the_field_of_an_mlp_under_every_rule_that_goes_back(bias):
    net, mlp = mlps(bias)
    model = Model(net)
    back = draw_feedback(Gaussian(0.7), KEY, (3, 4, 4, 2), "layerwise")
    assert far(model_feedback(Gaussian(0.7), KEY, model, DATA.inputs), back) == 0.0

    @jax.jit
    def fields(model, mlp):
        found = {}
        for name in (*CHAINS, *MOVING):
            rule = RULES[name]()
            given = back if rule.form == "layerwise" else Feedback()
            starts = (rule.init(of, given, DATA) for of in (model, mlp))
            found[name] = [rule.velocity(jnp.zeros(()), at, given, DATA) for at in starts]
        return found

    for name, (one, two) in fields(model, mlp).items():
        (one, *moved), (two, *others) = (one, two) if name in MOVING else ([one], [two])
        layers = one.moving.layers
        weights = tuple(layer.weight for layer in layers), tuple(layer.bias for layer in layers)
        assert far((weights, moved), ((two.weights, two.biases), others)) < 1e-13, name


SHIPPED = {
    "cnn": (CNN((1, 4, 4), 2, key=KEY, channels=(2, 2), bias=True, pooling="max"), (1, 4, 4)),
    "resnet": (ResNet((1, 4, 4), 2, key=KEY, channels=2, hidden=2, depth=1, norm=True), (1, 4, 4)),
    "transformer": (
        Transformer(3, 2, key=KEY, width=4, depth=1, hidden=3, unit="swiglu", norm=True),
        (3, 3),
    ),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_w_as_feedback_is_the_gradient(name):
    net, shape = SHIPPED[name]
    model = Model(net)
    data = make_data(drawn(2, 3, *shape), drawn(3, 3, 2), reduction="mean")
    same = model_feedback(EqualToWeights(), KEY, model, data.inputs)

    @jax.jit
    def fields(model):
        gradient = jax.grad(lambda net: -data.value(net(data.inputs)))(model)
        through = FeedbackAlignment().vector_field(model, same, data)
        return gradient, through, Gradient().vector_field(model, Feedback(), data)

    gradient, through, rule = fields(model)
    assert far(through, gradient) < 1e-13
    assert far(rule, gradient) < 1e-13
    in_blocks = field_of(FeedbackAlignment(), model, same, data.in_blocks(2))
    assert far(in_blocks, gradient) < 1e-13


def test_a_field_makes_as_many_products_as_jax_grad():
    """Were the forward pass made twice, its products would be counted twice."""
    net, shape = SHIPPED["resnet"]
    model = Model(net)
    data = make_data(drawn(2, 3, *shape), drawn(3, 3, 2))
    back = model_feedback(Gaussian(), KEY, model, data.inputs)

    def products(function):
        text = jax.jit(function).lower(model).compile().as_text()
        return text.count(" dot(") + text.count(" convolution(")

    loss = lambda net: data.value(net(data.inputs))  # noqa: E731
    field = lambda net: FeedbackAlignment().vector_field(net, back, data)  # noqa: E731
    gradient = products(jax.grad(loss))
    assert 0 < products(field) <= gradient
    assert gradient < products(lambda net: (field(net), loss(net) ** 2, jax.grad(loss)(net)))


class Strip(eqx.Module):
    """Two convolutions of a strip."""

    first: jax.Array
    second: jax.Array

    def __call__(self, x):
        convolve = lambda kernel, x: jnp.convolve(x, kernel, mode="valid")  # noqa: E731
        return convolve(self.second, jnp.tanh(convolve(self.first, x)))


def tied(kernel, length):
    """The matrix (length - k + 1, length) of a convolution in mode "valid"."""
    places = length - len(kernel) + 1
    column = np.zeros(places)
    row = np.zeros(length)
    column[0] = row[0] = kernel[-1]
    row[: len(kernel)] = kernel[::-1]
    return toeplitz(column, row)


def test_a_convolution_is_a_tied_toeplitz_mlp():
    kernels, backs = [drawn(i, 3) for i in (4, 5)], [drawn(i, 3) for i in (6, 7)]
    data = make_data(drawn(8, 4, 8), drawn(9, 4, 4))
    model = Model(Strip(*map(jnp.asarray, kernels)))
    assert [use.fan_in for use in model.program(data.inputs).uses] == [None, 3]
    move = field_of(
        FeedbackAlignment(), model, Feedback((jnp.asarray(backs[1]),), "layerwise"), data
    )
    lengths = (8, 6)
    mlp = MLP(
        tuple(jnp.asarray(tied(*of)) for of in zip(kernels, lengths, strict=True)), (), Tanh()
    )
    back = Feedback((jnp.asarray(tied(backs[1], 6)),), "layerwise")
    whole = field_of(FeedbackAlignment(), mlp, back, data).weights
    for found, matrix, length in zip(jax.tree.leaves(move), whole, lengths, strict=True):
        units = [tied(one, length) for one in np.eye(3)]
        assert far(found, jnp.asarray([np.sum(one * matrix) for one in units])) < 1e-12


class OneToken(eqx.Module):
    attention: eqx.nn.MultiheadAttention

    def __call__(self, x):
        return self.attention(x[None], x[None], x[None])[0]


class LinearAttention(eqx.Module):
    """Attention without softmax, (X X^T) X V^T O^T."""

    value: jax.Array
    output: jax.Array

    def __call__(self, x):
        scores = x @ x.T
        return ((scores @ (x @ self.value.T)) @ self.output.T)[0]


def test_attention_without_softmax_of_one_token_is_a_linear_net():
    """Of one token x its scores are ||x||^2: a linear net of the inputs ||x||^2 x."""
    x, targets = drawn(1, 3, 4), drawn(2, 3, 2)
    net = LinearAttention(jnp.asarray(drawn(3, 3, 4)), jnp.asarray(drawn(4, 2, 3)))
    data = make_data(x[:, None], targets)
    model = Model(net)
    back = model_feedback(Gaussian(), KEY, model, data.inputs)
    move = field_of(FeedbackAlignment(), model, back, data).module
    scaled = make_data(np.sum(x**2, axis=1, keepdims=True) * x, targets)
    mlp = MLP((net.value, net.output))
    expected = field_of(FeedbackAlignment(), mlp, back, scaled).weights
    assert far((move.value, move.output), expected) < 1e-13
    plain = field_of(FeedbackAlignment(), mlp, back, make_data(x, targets)).weights
    assert far((move.value, move.output), plain) > 1e-2


def test_attention_of_one_token_is_a_linear_net():
    net = OneToken(eqx.nn.MultiheadAttention(2, 4, key=KEY))
    data = make_data(drawn(1, 3, 4), drawn(2, 3, 4))
    model = Model(net, frozen=["attention.query_proj", "attention.key_proj"])
    back = model_feedback(Gaussian(), KEY, model, data.inputs)
    move = field_of(FeedbackAlignment(), model, back, data).module.attention
    value, output = net.attention.value_proj.weight, net.attention.output_proj.weight
    linear = MLP((value, output))
    expected = field_of(FeedbackAlignment(), linear, back, data).weights
    assert far((move.value_proj.weight, move.output_proj.weight), expected) < 1e-13


FLOWS = {
    "cnn": (CNN((1, 4, 4), 2, key=KEY, channels=(2,), activation="tanh", bias=True), (1, 4, 4)),
    "resnet": (
        ResNet((1, 3, 3), 2, key=KEY, channels=2, hidden=2, depth=1, activation="tanh"),
        (1, 3, 3),
    ),
    "transformer": (Transformer(2, 2, key=KEY, width=2, depth=1, heads=1, hidden=2), (3, 2)),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_that_of_scipy_on_the_gradient_and_gives_the_module_back(name):
    """The gradient itself against central differences of the loss along a random direction."""
    net, shape = FLOWS[name]
    data = make_data(drawn(2, 3, *shape), drawn(3, 3, 2))
    problem = FlowProblem(Gradient(), net, Feedback(), data)
    flow = integrate(problem, np.array([0.0, 0.5]), {"loss": Loss()}, Numerics(rtol=1e-11))
    flat, whole = ravel_pytree(eqx.filter(net, eqx.is_inexact_array))
    static = eqx.filter(net, eqx.is_inexact_array, inverse=True)

    @jax.jit
    def loss(flat):
        outputs = jax.vmap(eqx.combine(whole(flat), static))(data.inputs)
        return jnp.sum((outputs - data.targets) ** 2) / 2

    field = jax.jit(jax.grad(loss))
    oracle = solve_ivp(
        lambda t, w: -np.asarray(field(w)), (0, 0.5), flat, "DOP853", rtol=1e-12, atol=1e-14
    )
    end = jnp.asarray(oracle.y[:, -1])
    assert type(flow.weights.module) is type(net)
    assert far(flat, end) > 1e-2
    assert far(flow.weights, end) < 1e-9
    assert far(flow.records["loss"][-1], loss(end)) < 1e-9

    step, way = 1e-5, jnp.asarray(drawn(4, len(flat)))
    slope = (loss(flat + step * way) - loss(flat - step * way)) / (2 * step)
    move = ravel_pytree(field_of(problem.rule, problem.weights, Feedback(), data))[0]
    assert far(-jnp.vdot(move, way), slope) < 1e-8


def output_law(model, feedback):
    """V V^T - O F_O^T - F_O O^T of a head, and the sizes of its terms."""
    attention = model.module.blocks[0].attention
    value, output = attention.value_proj.weight, attention.output_proj.weight.T
    paths = [model.paths[i] for i in model.program(jax.ShapeDtypeStruct((2, 3, 3), float)).met]
    back = feedback.matrices[paths.index("blocks.0.attention.output_proj.weight")].T
    terms = value @ value.T, -output @ back.T, -back @ output.T
    return np.asarray(sum(terms)), np.max(sum(map(np.abs, map(np.asarray, terms))))


@pytest.mark.parametrize(("solver", "bound"), [("tsit5", 1e-9), ("gauss4", 1e-13)])
def test_the_law_of_a_transformers_head_does_not_drift(solver, bound):
    net = Transformer(3, 2, key=KEY, width=3, heads=1, depth=1, hidden=3, unit="gelu")
    data = make_data(drawn(4, 3, 3, 3), drawn(5, 3, 2))
    back = model_feedback(Gaussian(), KEY, Model(net), data.inputs)
    problem = FlowProblem(FeedbackAlignment(), net, back, data)
    rtol = 1e-10 if solver == "tsit5" else 1e-6
    flow = integrate(problem, np.array([0.0, 2.0]), {}, Numerics(solver=solver, rtol=rtol))
    (before, scale), (after, _) = (output_law(of, back) for of in (problem.weights, flow.weights))
    assert far(flow.weights, problem.weights) > 1e-2
    assert np.max(np.abs(after - before)) / scale < bound


def test_what_is_frozen_stays_and_has_no_feedback():
    net, _ = mlps(True)
    model = Model(net, frozen=["layers.1", "layers.*.bias"])
    assert model.paths == ("layers.0.weight", "layers.2.weight")
    assert [use.fan_in for use in model.program(DATA.inputs).uses] == [None, 4]
    assert jax.tree.structure(model) == jax.tree.structure(Model(net, ["layers.1", "*.*.bias"]))
    assert far(model(DATA.inputs), Model(net)(DATA.inputs)) == 0.0
    assert jnp.all(model.module.layers[1].weight == net.layers[1].weight)


class Batched(eqx.Module):
    net: Net
    batched: bool = eqx.field(static=True, default=True)

    def __call__(self, x):
        return jax.vmap(self.net)(x)


def test_a_batched_module_is_called_on_all_samples():
    net, _ = mlps(False)
    assert far(Model(Batched(net))(DATA.inputs), Model(net)(DATA.inputs)) == 0.0


def test_rates_of_leaves():
    net, _ = mlps(False)
    model = Model(net)
    move = field_of(Gradient(), model, Feedback(), DATA)
    slowed = speed_of(LearningRates(Gradient(), rates=[1.0, 2.0, 3.0]), model, Feedback(), DATA)
    for layer, rate in enumerate((1.0, 2.0, 3.0)):
        assert far(slowed.moving.layers[layer], move.moving.layers[layer]) == rate - 1.0


def test_weight_normalisation_of_leaves():
    """Against the MLP's, and against minus the gradient in the coordinates (s, v), of filters."""
    net, mlp = mlps(True)
    back = draw_feedback(Gaussian(), KEY, (3, 4, 4, 2), "layerwise")
    by_leaf = WeightNormalisation(FeedbackAlignment(), layers=("layers.0.weight", "layers.1.*t"))
    by_layer = WeightNormalisation(FeedbackAlignment())
    found = []
    for rule, network in ((by_leaf, Model(net)), (by_layer, mlp)):
        v, s = rule.init(network, back, DATA)
        state = v, {layer: 2.0 * length for layer, length in s.items()}
        (move, stretch) = speed_of(rule, state, back, DATA)
        found.append((move, list(stretch.values())))
    (one, lengths), (two, others) = found
    layers = one.moving.layers
    weights = [layer.weight for layer in layers], [layer.bias for layer in layers]
    assert far((weights, lengths), ((two.weights, two.biases), others)) < 1e-13

    net = CNN((1, 4, 4), 2, key=KEY, channels=(2, 2), activation="tanh")
    model, path = Model(net), "convolutions.1.weight"
    data = make_data(drawn(2, 3, 1, 4, 4), drawn(3, 3, 2))
    rule = WeightNormalisation(Gradient(), layers=(path,))
    directions, lengths = rule.init(model, Feedback(), data)
    state = directions, {path: lengths[path] + 0.5}

    def loss(state):
        directions, lengths = state
        v = directions.module.convolutions[1].weight
        norms = jnp.sqrt(jnp.sum(v**2, axis=(1, 2, 3)))
        w = v * (lengths[path] / norms)[:, None, None, None]
        module = eqx.tree_at(lambda net: net.convolutions[1].weight, directions.module, w)
        return data.value(jax.vmap(module)(data.inputs))

    move = speed_of(rule, state, Feedback(), data)
    expected = jax.tree.map(np.negative, jax.jit(jax.grad(loss))(state))
    assert far(move, expected) < 1e-13
    assert far(move[1], speed_of(rule, (directions, lengths), Feedback(), data)[1]) > 1e-3
