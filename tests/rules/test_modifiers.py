"""Every registered modifier on several rules: shapes, what it claims, what it forecasts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import law_rates
from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import (
    MODIFIERS,
    RULES,
    AbstractForecastingRule,
    AbstractWeightRule,
    Forecast,
    Gradient,
    Point,
    forecast,
    unmodified,
)
from faflow.tasks import make_data

WIDTHS = (4, 5, 3, 1)
QUICK = ("gradient", "feedback-alignment", "direct-feedback-alignment")
MODIFIABLE = [name for name, rule in RULES.items() if issubclass(rule, AbstractWeightRule)]


def setting(rule, activation="linear"):
    rng = np.random.default_rng(0)
    pairs = zip(WIDTHS[1:], WIDTHS[:-1], strict=True)
    weights = tuple(jnp.asarray(rng.standard_normal(pair)) for pair in pairs)
    biases = tuple(jnp.asarray(rng.standard_normal(width)) for width in WIDTHS[1:])
    net = MLP(weights, biases, ACTIVATIONS[activation]())
    data = make_data(rng.standard_normal((6, 4)), rng.standard_normal((6, 1)))
    return net, draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(1), WIDTHS, rule.form), data


@pytest.mark.parametrize("modifier", MODIFIERS)
@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODIFIABLE],
)
def test_velocity_fits_the_state_and_read_undoes_init(modifier, name):
    rule = MODIFIERS[modifier](RULES[name]())
    net, feedback, data = setting(rule)
    rule = forecast(rule, net)
    assert isinstance(unmodified(rule), RULES[name])
    state, velocity = jax.eval_shape(lambda: _fields(rule, net, feedback, data))
    assert jax.tree.structure(state) == jax.tree.structure(velocity)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(velocity), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    read = rule.read(rule.init(net, feedback, data), feedback, data)
    for a, b in zip(jax.tree.leaves(read), jax.tree.leaves((net, feedback)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def _fields(rule, net, feedback, data):
    state = rule.init(net, feedback, data)
    return state, rule.velocity(jnp.zeros(()), state, feedback, data)


OPTIONS = {
    "weight-decay": {"rates": [0.1, 0.2, 0.2]},
    "learning-rates": {"rates": [1.0, 2.0, 0.5], "decays": [0.1, 0.2, 0.3]},
}


@pytest.mark.parametrize("modifier", MODIFIERS)
@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("feedback-alignment", "relu-squared"),
        ("gradient", "linear"),
        pytest.param("feedback-alignment", "linear", marks=pytest.mark.slow),
        pytest.param("gradient", "relu-squared", marks=pytest.mark.slow),
    ],
)
def test_what_is_claimed_and_forecast_holds_along_the_field(modifier, name, activation):
    """At a moving state and a time that is not 0; the control is the unmodified law, where it is
    not claimed as it is (weight normalisation keeps the gradient's layer balance)."""
    rule = MODIFIERS[modifier](RULES[name](), **OPTIONS.get(modifier, {}))
    net, feedback, data = setting(rule, activation)
    state = jax.tree.map(_shaken, rule.init(net, feedback, data))
    where, t = (net, feedback, data, state), jnp.asarray(0.7)
    claimed, plain = rule.laws(net), unmodified(rule).laws(net)
    asked = {f"claimed {name}": law for name, law in claimed.items()} | plain
    rates = law_rates(asked, rule, *where, t)
    for name in claimed:
        assert np.max(rates[f"claimed {name}"].relative) < 1e-12
    moving = {}
    for name, law in plain.items():
        still = modifier == "weight-normalisation" and claimed.get(name)
        if not (still and still.layers == law.layers):
            assert np.max(rates[name].relative) > 1e-7  # of the field, which is large here
            moving[name] = law
    if not isinstance(rule, AbstractForecastingRule) or modifier == "momentum":
        return
    told, seen = _told_and_seen(rule, moving, t, state, feedback, data)
    for name in moving:
        rounding = 1e-14 * float(np.max(rates[name].scale))
        for a, b in zip(jax.tree.leaves(told[name]), jax.tree.leaves(seen[name]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=rounding)


@eqx.filter_jit
def _told_and_seen(rule, laws, t, state, feedback, data):
    """The rate of every law as the rule forecasts it, and by differentiation along the field."""
    speed = rule.velocity(t, state, feedback, data)
    point = Point(t, state, feedback, data)
    told = {n: rule.forecast(law, point, ())[0] for n, law in laws.items()}
    return told, {name: _rate(law, state, speed, feedback, data) for name, law in laws.items()}


def _shaken(leaf):
    return leaf + 0.1 * jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape)


def _rate(law, state, speed, feedback, data):
    return jax.jvp(lambda net: law(net, feedback, data), (state,), (speed,))[1]


@pytest.mark.parametrize(("name", "layers"), [("gradient", (1, 2)), ("feedback-alignment", (2,))])
def test_normalised_layers_keep_the_gradients_balance(name, layers):
    """Layers 1 and 2 normalised: <W_2, W_2'> = <W_2, g_2>, but <F_2, W_2'> is not <F_2, g_2>."""
    rule = MODIFIERS["weight-normalisation"](RULES[name]())
    net, _, _ = setting(rule)
    laws = rule.laws(net)
    assert laws["layer-balance"].layers == layers
    assert laws["neuron-balance"].layers == (2,)


@pytest.mark.parametrize("modifier", MODIFIERS)
def test_equation_and_source_are_given(modifier):
    assert MODIFIERS[modifier].equation and MODIFIERS[modifier].source


def test_a_rule_without_modifiers_or_laws_has_no_forecast():
    net, _, _ = setting(Gradient())
    assert forecast(Gradient(), net) == Gradient()
    tanh, _, _ = setting(Gradient(), "tanh")
    decayed = MODIFIERS["weight-decay"](Gradient())
    assert not isinstance(forecast(decayed, tanh), Forecast)
