"""Rates and drifts of laws against finite differences and hand-made records."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import law_drift, law_rate
from faflow.feedback import Feedback
from faflow.networks import MLP
from faflow.networks.activations import Tanh, relu_squared
from faflow.observables import Balance, FeedbackPotential, WeightPotential
from faflow.rules import FeedbackAlignment, KolenPollack
from faflow.tasks import make_data

RNG = np.random.default_rng(3)


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape))


def setting(activation):
    net = MLP((draw(4, 3), draw(5, 4), draw(2, 5)), (draw(4), draw(5), draw(2)), activation)
    feedback = Feedback((draw(5, 4), draw(2, 5)), "layerwise")
    return net, feedback, make_data(draw(6, 3), draw(6, 2))


@pytest.mark.parametrize("form", ["layer-balance", "neuron-balance", "matrix-balance"])
def test_the_rate_is_the_derivative_along_the_field(form):
    # tanh: nothing is conserved, so the rate is a number to compare.
    net, feedback, data = setting(Tanh())
    law = Balance(FeedbackPotential(), form, (1, 2))
    rule = FeedbackAlignment()
    velocity = jax.jit(rule.vector_field)(net, feedback, data)

    @jax.jit
    def along(step):
        moved = jax.tree.map(lambda w, v: w + step * v, net, velocity)
        value = law(moved, feedback, data)
        return value if form != "layer-balance" else tuple(value)

    ends = zip(along(jnp.asarray(1e-6)), along(jnp.asarray(-1e-6)), strict=True)
    expected = [np.abs((np.asarray(a) - np.asarray(b)) / 2e-6).max() for a, b in ends]
    got = law_rate(law, rule, net, feedback, data)
    np.testing.assert_allclose(np.abs(got.rate), expected, rtol=1e-6)
    assert np.all(np.abs(got.relative) > 1e-3)
    assert np.all(np.abs(got.rate) <= got.scale * (1 + 1e-12))


def test_a_decaying_law_is_judged_with_its_decay():
    net, feedback, data = setting(relu_squared())
    rule = KolenPollack(0.7)
    law = rule.laws(net)["layer-balance"]
    assert np.all(np.abs(law_rate(law, rule, net, feedback, data).relative) < 1e-14)
    forgotten = Balance(law.potential, law.form, law.layers, law.degree)
    lost = law_rate(forgotten, rule, net, feedback, data).rate
    np.testing.assert_allclose(lost, np.abs(-1.4 * law(net, feedback, data)), rtol=1e-9)


def test_a_rest_point_has_rate_zero_not_nan():
    net, feedback, data = setting(relu_squared())
    zero = jax.tree.map(jnp.zeros_like, net)
    law = Balance(WeightPotential(), "layer-balance", (1, 2))
    still = make_data(np.asarray(data.inputs), np.zeros((6, 2)))
    assert np.all(law_rate(law, FeedbackAlignment(), zero, feedback, still).relative == 0)


def test_nan_is_not_called_rest():
    net, feedback, data = setting(relu_squared())
    lost = jax.tree.map(lambda leaf: leaf * jnp.nan, feedback)
    law = Balance(FeedbackPotential(), "layer-balance", (1, 2))
    assert np.all(np.isnan(law_rate(law, FeedbackAlignment(), net, lost, data).relative))
    bad = np.full((3, 1), np.nan)
    assert np.isnan(law_drift(bad, bad, np.arange(3.0), np.ones(3, bool)).relative[0])


def test_drift_of_hand_made_records():
    ts = np.array([0.0, 1.0, 2.0, np.nan])
    reached = np.array([True, True, True, False])
    values = np.array([[1.0, 5.0], [1.5, 5.0], [1.2, 4.0], [np.nan, np.nan]])
    scales = np.array([[2.0, 10.0], [4.0, 10.0], [2.0, 10.0], [np.nan, np.nan]])
    got = law_drift(values, scales, ts, reached)
    np.testing.assert_allclose(got.drift, [0.5, 1.0])
    np.testing.assert_allclose(got.relative, [0.125, 0.1])
    np.testing.assert_allclose(got.worst_time, [1.0, 2.0])
    ragged = (values[:, :1], values[:, 1:])
    again = law_drift(ragged, (scales[:, :1], scales[:, 1:]), ts, reached)
    np.testing.assert_allclose(again.drift, got.drift)


def test_drift_follows_the_decay_of_the_law():
    ts = np.linspace(0, 3, 7)
    values = 2.0 * np.exp(-0.4 * ts)[:, None]
    reached = np.ones(7, bool)
    assert law_drift(values, np.ones((7, 1)), ts, reached, decay=0.4).drift[0] < 1e-15
    assert law_drift(values, np.ones((7, 1)), ts, reached).drift[0] > 1.0
