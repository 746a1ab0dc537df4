"""Prediction 37: the signs of monotone direct feedback's deltas are backprop's (theory 6.6).

Oracle: backprop by hand in numpy. e D_l >= 0 and e W_L ... >= 0 have the sign of e for one output.
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import DirectFeedbackAlignment, MonotoneDirectFeedback
from faflow.rules.monotone_direct_feedback import is_monotone
from faflow.tasks import make_data

WIDTHS, SAMPLES = (4, 7, 6, 5, 1), 20
MONOTONE = ["linear", "relu", "leaky-relu", "relu-squared", "tanh", "erf"]


def problem(activation="tanh", rule=None, seed=0, widths=WIDTHS, bias=True):
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    weights = tuple(jnp.asarray(rng.normal(size=(b, a)) / a**0.5) for a, b in pairs)
    biases = tuple(jnp.asarray(0.3 * rng.normal(size=b)) for _, b in pairs) if bias else ()
    matrices = tuple(jnp.asarray(rng.normal(size=(widths[-1], n))) for n in widths[1:-1])
    data = make_data(rng.normal(size=(SAMPLES, widths[0])), rng.normal(size=(SAMPLES, widths[-1])))
    net = MLP(weights, biases, ACTIVATIONS[activation]())
    rule = MonotoneDirectFeedback() if rule is None else rule
    return FlowProblem(rule, net, Feedback(matrices, "direct"), data)


def backprop(network, data):
    """(delta_1, ..., delta_L), (samples, n_l): numpy."""
    name = next(n for n, make in ACTIVATIONS.items() if make() == network.activation)
    phi, slope, _ = oracles.ACTIVATIONS[name]
    biases = network.biases or [np.zeros(len(w)) for w in network.weights]
    a, pre = np.asarray(data.inputs), []
    for weight, bias in zip(network.weights, biases, strict=True):
        pre.append(a @ np.asarray(weight).T + np.asarray(bias))
        a = phi(pre[-1])
    deltas = [pre[-1] - np.asarray(data.targets)]
    for h, weight in zip(pre[-2::-1], network.weights[:0:-1], strict=True):
        deltas.insert(0, slope(h) * (deltas[0] @ np.asarray(weight)))
    return deltas


@eqx.filter_jit
def deltas_of(rule, weights, feedback, data):
    trace = weights.trace(data.inputs)
    return rule.deltas(weights, feedback, trace, data.error(trace.outputs))


@eqx.filter_jit
def begun(flow):
    """Weights and feedback as the rule begins with them."""
    at = (flow.feedback, flow.data)
    return flow.rule.read(flow.rule.init(flow.weights, *at), *at)


@eqx.filter_jit
def loss(net, data):
    return data.value(net(data.inputs))


def wrong_signs(deltas, true):
    """The share of units and samples, of hidden layers, whose signs differ."""
    pairs = list(zip(deltas[:-1], true[:-1], strict=True))
    wrong = sum(int(np.sum(np.sign(np.asarray(a)) != np.sign(b))) for a, b in pairs)
    return wrong / sum(b.size for _, b in pairs)


@pytest.mark.parametrize("activation", MONOTONE)
def test_signs_are_those_of_backprop(activation, measured):
    flow = problem(activation)
    weights, back = begun(flow)
    assert all(np.min(w) >= 1e-6 for w in weights.weights[1:])
    assert np.min(weights.weights[0]) < 0 and min(map(np.min, back.matrices)) >= 0
    share = wrong_signs(
        deltas_of(flow.rule, weights, back, flow.data), backprop(weights, flow.data)
    )
    measured(37, f"mDFA, {activation}: share of wrong signs", share, below=1e-12)
    free = deltas_of(DirectFeedbackAlignment(), flow.weights, flow.feedback, flow.data)
    share = wrong_signs(free, backprop(flow.weights, flow.data))
    measured(37, f"DFA, weights of both signs, {activation}: wrong signs", share, above=0.1)


def steps_by_hand(flow, count, t1, clip):
    """Lechner's rule in numpy, tanh, two hidden layers: W <- W + eta g, then, if `clip`,
    W_l = max(W_l, 1e-6) for l >= 2."""
    x, y = np.asarray(flow.data.inputs), np.asarray(flow.data.targets)
    feed = [np.abs(d) for d in flow.feedback.matrices]
    first, *above = map(np.asarray, flow.weights.weights)
    weights = [first, *(np.maximum(np.abs(w), 1e-6) for w in above)]
    for _ in range(count):
        a = [x]
        for l, w in enumerate(weights):
            a.append(np.tanh(a[-1] @ w.T) if l < 2 else a[-1] @ w.T)
        e = a[-1] - y
        deltas = [*((1 - h**2) * (e @ d) for h, d in zip(a[1:3], feed, strict=True)), e]
        weights = [
            w - t1 / count * d.T @ h for w, d, h in zip(weights, deltas, a[:-1], strict=True)
        ]
        if clip:
            weights = [weights[0], *(np.maximum(w, 1e-6) for w in weights[1:])]
    return weights


def resting(weights):
    return sum(int(np.sum(np.asarray(w) == 1e-6)) for w in weights[1:])


def test_the_flow_is_the_limit_of_clipped_steps(measured):
    """At first order in eta, with weights that rest at the floor; signs stay right on the way, and
    the loss falls. Without the clip weights turn negative, and signs wrong."""
    flow, t1 = problem(bias=False, widths=(4, 5, 4, 1), seed=3), 1.0
    end = integrate(flow, np.array([0.0, t1]), {}, Numerics(rtol=1e-7, atol=1e-9))
    misses = []
    for count in (500, 1000):
        weights = steps_by_hand(flow, count, t1, True)
        pairs = zip(weights, end.weights.weights, strict=True)
        misses.append(max(np.abs(a - np.asarray(b)).max() for a, b in pairs))
    assert misses[0] < 0.02 and 1.7 < misses[0] / misses[1] < 2.3
    assert resting(weights) == resting(end.weights.weights) > 0
    assert min(np.min(w) for w in end.weights.weights[1:]) == 1e-6
    deltas = deltas_of(flow.rule, end.weights, end.feedback, flow.data)
    share = wrong_signs(deltas, backprop(end.weights, flow.data))
    measured(37, "mDFA at the end of its flow: share of wrong signs", share, below=1e-12)
    assert loss(end.weights, flow.data) < 0.7 * loss(begun(flow)[0], flow.data)
    left = tuple(map(jnp.asarray, steps_by_hand(flow, 1000, 16.0, False)))
    assert min(np.min(w) for w in left[1:]) < -1e-2
    net = MLP(left, (), flow.weights.activation)
    share = wrong_signs(
        deltas_of(flow.rule, net, flow.feedback, flow.data), backprop(net, flow.data)
    )
    measured(37, "DFA from nonnegative weights, without the clip: wrong signs", share, above=1e-3)


def test_an_entry_at_the_floor_moves_up_only():
    flow = problem(bias=False)
    state = flow.rule.init(flow.weights, flow.feedback, flow.data)
    floors = (jnp.asarray(np.full(w.shape, 1e-6)) for w in state.weights[1:])
    low = MLP((state.weights[0], *floors), (), state.activation)
    velocity = eqx.filter_jit(flow.rule.velocity)
    moved = velocity(jnp.zeros(()), low, flow.feedback, flow.data)
    assert all(np.min(w) >= 0 for w in moved.weights[1:])
    assert any(np.max(w) > 0 for w in moved.weights[1:])
    higher = jax.tree.map(lambda w: jnp.asarray(np.asarray(w) + 1.0), low)
    moved = velocity(jnp.zeros(()), higher, flow.feedback, flow.data)
    assert any(np.min(w) < 0 for w in moved.weights[1:])


def test_what_is_refused():
    several = problem(widths=(4, 5, 2))
    quadratic = problem("quadratic")
    for flow, words in ((several, "one output"), (quadratic, "monotone activation")):
        with pytest.raises(ValueError, match=f"^[^\\n]*{words}[^\\n]*$"):
            flow.rule.init(flow.weights, flow.feedback, flow.data)
    told = {name for name, make in ACTIVATIONS.items() if not is_monotone(make())}
    assert told == {"quadratic", "gelu"}
