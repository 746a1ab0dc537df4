"""Gated linear networks: frozen gates, every rule on them, the laws, the config."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.config.errors import ConfigError
from faflow.config.resolve import resolve_path
from faflow.feedback import FEEDBACKS, Feedback, draw_feedback
from faflow.measures.experiment import build
from faflow.networks import ACTIVATIONS, GatedMLP, is_linear
from faflow.observables import Balance, FeedbackPotential
from faflow.rules import (
    RULES,
    AbstractLayerwiseRule,
    FeedbackAlignment,
    Gradient,
    weight_velocity,
)
from faflow.runs.run import run
from faflow.tasks import make_data

WIDTHS, SAMPLES = (5, 7, 6, 3), 9
RNG = np.random.default_rng(5)
ONE_OUTPUT = {"hebbian", "monotone-direct-feedback"}
# Rules that name no law in nets that are not linear.
LAWLESS = {"last-layer-only", "weight-mirror", "align-ada", "align-zero"}
LAWLESS |= {"sign-error-direct-feedback", "direct-random-target-projection", *ONE_OUTPUT}


def network(gate="relu", widths=WIDTHS, bias=False, seed=0):
    pairs = list(pairwise(widths))
    weights = tuple(jnp.asarray(RNG.standard_normal((o, i)) / i**0.5) for i, o in pairs)
    biases = tuple(jnp.asarray(RNG.standard_normal(o)) for _, o in pairs) if bias else ()
    return GatedMLP(weights, biases, gate=ACTIVATIONS[gate](), seed=seed)


def data(widths=WIDTHS):
    rng = np.random.default_rng(6)
    return make_data(
        rng.standard_normal((SAMPLES, widths[0])), rng.standard_normal((SAMPLES, widths[-1]))
    )


def fed(net, form, widths=WIDTHS):
    return draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(3), widths, form, net)


def test_forward_pass_by_hand():
    """a_l = g_l . h_l with numpy; the gates are 0 or 1 and the weights have no say in them."""
    net, samples = network(bias=True), data()
    look = jax.jit(lambda net, inputs: (net(inputs), net.gates(inputs)))
    inputs = np.asarray(samples.inputs)
    outputs, gates = jax.device_get(look(net, inputs))
    a = inputs
    for layer, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        a = a @ np.asarray(w).T + np.asarray(b)
        a = a * gates[layer] if layer < 2 else a
    np.testing.assert_allclose(outputs, a, rtol=1e-13)
    assert all(set(np.unique(gate)) == {0.0, 1.0} for gate in gates)
    other = look(jax.tree.map(lambda w: -2 * np.asarray(w), net), inputs)[1]
    assert all(np.array_equal(*pair) for pair in zip(gates, other, strict=True))
    # The gates scale with nothing: they are a function of the input's direction, and of the seed.
    scaled = look(net, 3 * inputs)[1]
    assert all(np.array_equal(*pair) for pair in zip(gates, scaled, strict=True))
    assert not np.array_equal(gates[0], look(network(seed=1), inputs)[1][0])
    assert len(jax.tree.leaves(net)) == 6 and not is_linear(net)


@pytest.mark.parametrize("gate", ["relu", "tanh"])
def test_gates_have_the_covariance_of_slopes(gate):
    """At infinite width <g g'>: for ReLU (1 - theta / pi) / 2; smooth gates by quadrature."""
    x = RNG.standard_normal((2, 5))
    theta = np.arccos(x[0] @ x[1] / np.linalg.norm(x[0]) / np.linalg.norm(x[1]))
    gates = network(gate, (5, 60_000, 1)).gates(jnp.asarray(x))[0]
    measured = float(jnp.mean(gates[0] * gates[1]))
    if gate == "relu":
        expected = (1 - theta / np.pi) / 2
    else:
        c = x @ x.T / 5
        points, weights = np.polynomial.hermite_e.hermegauss(80)
        u, v = points[:, None], points[None, :]
        other = c[0, 1] / c[0, 0] ** 0.5 * u + (c[1, 1] - c[0, 1] ** 2 / c[0, 0]) ** 0.5 * v
        slopes = 1 / np.cosh(c[0, 0] ** 0.5 * u) ** 2 / np.cosh(other) ** 2
        expected = weights @ slopes @ weights / (2 * np.pi)
    assert measured == pytest.approx(expected, abs=5 * 0.5 / 60_000**0.5)


@pytest.mark.parametrize("bias", [False, True])
def test_gradient_is_minus_the_gradient(bias):
    net, samples = network("tanh", bias=bias), data()

    @jax.jit
    def fields(net, feedback):
        return (
            jax.grad(lambda w: -samples.value(w(samples.inputs)))(net),
            Gradient().vector_field(net, Feedback(), samples),
            FeedbackAlignment().vector_field(net, feedback, samples),
        )

    expected, got, other = jax.device_get(fields(net, fed(net, "layerwise")))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    # Control: feedback alignment is not.
    assert np.abs(other.weights[0] - expected.weights[0]).max() > 0.1


@pytest.mark.parametrize("name", RULES)
def test_every_rule_runs_and_keeps_the_laws_it_claims(name):
    """Layer and neuron balances of degree 1 along the field; no matrix balance is claimed."""
    rule, widths = RULES[name](), (*WIDTHS[:-1], 1) if name in ONE_OUTPUT else WIDTHS
    net, samples = network(widths=widths, bias=name != "fa-star"), data(widths)
    feedback = fed(net, rule.form, widths)
    laws = rule.laws(net)
    assert ("layer-balance" in laws) is (name not in LAWLESS) and "matrix-balance" not in laws

    @eqx.filter_jit
    def rates(net):
        if name == "fa-star":  # its laws speak of the state's weights
            net = rule.read(rule.init(net, feedback, samples), feedback, samples)[0]
        velocity = weight_velocity(rule, net, feedback, samples)
        along = {
            key: jax.jvp(lambda w, f, law=law: law(w, f, samples), (net, feedback), velocity)
            for key, law in laws.items()
        }
        return (
            velocity,
            along,
            {key: law.scale(net, feedback, samples) for key, law in laws.items()},
        )

    velocity, along, scales = jax.device_get(rates(net))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(velocity)) > 0.1
    for key, law in laws.items():
        value, rate = map(jax.tree.leaves, along[key])
        for q, change, size in zip(value, rate, jax.tree.leaves(scales[key]), strict=True):
            assert np.abs(change + np.asarray(law.decay) * q).max() / size.max() < 1e-12


def test_matrix_balance_holds_on_its_diagonal_alone():
    rule, net, samples = FeedbackAlignment(), network(), data()
    feedback = fed(net, "layerwise")
    law = Balance(FeedbackPotential(), "matrix-balance", (1, 2))

    @jax.jit
    def rate_of(net, feedback):
        velocity = weight_velocity(rule, net, feedback, samples)
        return jax.jvp(lambda w, f: law(w, f, samples), (net, feedback), velocity)[1]

    rate = rate_of(net, feedback)
    for block in map(np.asarray, rate):
        size = np.abs(block).max()
        assert size > 0.1 and np.abs(np.diag(block)).max() < 1e-12 * size


class OwnSlopes(AbstractLayerwiseRule):
    """A user's rule that asks the activation rather than the forward pass."""

    equation = "delta_1 = phi'(h_1) . (delta_2 W_2)"
    source = "a test"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        slope = weights.activation.derivative(trace.pre[0])
        return slope * (error @ weights.weights[1]), error

    def laws(self, weights):
        return {}


def test_a_rule_that_asks_for_an_activation_is_told():
    net = network(widths=(5, 4, 3))
    with pytest.raises(ValueError, match="slopes"):
        OwnSlopes().vector_field(net, Feedback(), data())


CONFIG = {
    "name": "gated",
    "network": {"widths": [4, 6, 5, 1], "kind": "gated", "activation": "relu"},
    "task": {"kind": "gaussian", "samples": 6, "features": 4},
    "rule": {"kind": "feedback-alignment"},
    "flow": {"t1": 1.0, "saves": 3},
    "observe": {"names": ["loss", "laws"]},
}


def test_config_reaches_it():
    result = run(CONFIG, store_result=False)
    summary = result.summary
    assert summary["status"] == "completed" and "kinks" not in summary
    assert set(summary["laws"]) == {"layer-balance", "neuron-balance"}
    for law in summary["laws"].values():
        assert law["kept"] and max(law["relative_drift"]) < 1e-8
    assert summary["loss"]["final"] < 0.9 * summary["loss"]["initial"]
    # Other gates behind the same weights; the config's seed is the default.
    gates, weights = [], []
    for more in ({}, {"seed": 0}, {"seed": 1}):
        seeded = {**CONFIG, "network": {**CONFIG["network"], **more}}
        problem = build(resolve_path(seeded)).problem
        assert isinstance(problem.weights, GatedMLP)
        gates.append(np.asarray(problem.weights.gates(problem.data.inputs)[0]))
        weights.append(np.asarray(problem.weights.weights[0]))
    assert np.array_equal(gates[0], gates[1]) and not np.array_equal(gates[0], gates[2])
    assert np.array_equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("override", "key"),
    [('network.kind="mlp"', "network.seed"), ('flow.kinks="exact"', "flow.kinks")],
)
def test_what_gates_do_not_go_with(override, key):
    table = {**CONFIG, "network": {**CONFIG["network"], "seed": 1}}
    with pytest.raises(ConfigError, match=key):
        run(table, overrides=[override], store_result=False)
