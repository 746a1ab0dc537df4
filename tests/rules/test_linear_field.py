"""Reassociated fields of linear nets: equal to numpy's layer-by-layer field, taken where they pay.

Oracle: the recursion of the equations in numpy, samples as rows.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import BACKWARD

from faflow.feedback import FEEDBACKS, Feedback, draw_feedback
from faflow.networks import MLP, Linear
from faflow.networks.activations import Tanh
from faflow.rules import RULES, FeedbackAlignment
from faflow.rules.backward import linear_factors
from faflow.rules.linear_field import pays
from faflow.tasks import make_data

DIRECT = "direct-feedback-alignment"
UPPER = {  # what delta goes back through
    **BACKWARD,
    "fixed-weight-difference-target-propagation": lambda w, f: f,
}


def setting(widths, samples, *, identity=False, activation=None, biases=()):
    rng = np.random.default_rng(3)
    pairs = zip(widths[1:], widths[:-1], strict=True)
    weights = tuple(jnp.asarray(rng.standard_normal(pair)) for pair in pairs)
    x = np.eye(samples) if identity else rng.standard_normal((samples, widths[0]))
    data = make_data(x, rng.standard_normal((samples, widths[-1])), "squared", "mean")
    return MLP(weights, biases, activation or Linear()), data


def by_layer(name, net, feedback, data):
    """-delta_l^T a_{l-1}, layer by layer."""
    w, f = ([np.asarray(m) for m in ms] for ms in (net.weights, feedback.matrices))
    post = [np.asarray(data.inputs)]
    for weight in w:
        post.append(post[-1] @ weight.T)
    deltas = [(post[-1] - np.asarray(data.targets)) / len(post[0])]
    for l in range(len(w) - 1, 0, -1):
        fixed = f[l - 1] if f else None
        back = deltas[-1] @ fixed if name == DIRECT else deltas[0] @ UPPER[name](w[l], fixed)
        deltas.insert(0, back)
    return [-delta.T @ a for delta, a in zip(deltas, post[:-1], strict=True)]


@pytest.mark.parametrize("name", [DIRECT, *UPPER])
@pytest.mark.parametrize(
    ("widths", "samples", "identity"),
    [((30, 12, 1), 8, False), ((30, 12, 9, 2), 20, False), ((15, 4, 12), 15, True)],
)
def test_the_numbers_are_those_of_the_recursion(name, widths, samples, identity):
    net, data = setting(widths, samples, identity=identity)
    assert data.identity is identity and pays(net, data)
    rule = RULES[name]()
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(0), widths, rule.form)
    assert linear_factors(rule, net, feedback) is not None
    found = eqx.filter_jit(rule.vector_field)(net, feedback, data).weights
    for ours, theirs in zip(found, by_layer(name, net, feedback, data), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * np.abs(theirs).max())


def products(function, *arguments):
    """Multiplications of all matrix products of a traced function."""
    total = 0
    for equation in jax.make_jaxpr(function)(*arguments).eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, right = (variable.aval.shape for variable in equation.invars)
            shared = np.prod([left[axis] for axis in contracted])
            total += np.prod(left) * np.prod(right) / shared
    return total


def test_it_multiplies_less():
    """One output, 20 samples of 100 features, 50 hidden: a tenth; X = I: 0.6 of it."""
    for widths, samples, identity, most in (
        ((100, 50, 1), 20, False, 0.15),
        ((100, 20, 100), 100, True, 0.61),
    ):
        net, data = setting(widths, samples, identity=identity)
        rule = RULES["feedback-alignment"]()
        feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(0), widths, rule.form)
        ours = products(lambda w, r=rule, f=feedback, d=data: r.vector_field(w, f, d), net)
        sizes = sum(a * b for a, b in zip(widths[1:], widths[:-1], strict=True))
        layers = samples * (2 * sizes + widths[1] * widths[2])
        assert ours < most * layers


def test_it_is_taken_only_where_it_pays():
    assert not pays(*setting((5, 4, 4), 3))  # as many outputs as hidden units, few samples
    assert not pays(*setting((30, 12, 1), 8, activation=Tanh()))
    biases = (jnp.zeros(12), jnp.zeros(1))
    assert not pays(*setting((30, 12, 1), 8, biases=biases))
    assert not pays(*setting((30, 1), 8))
    net, _ = setting((30, 12, 1), 8)
    for name in sorted(set(RULES) - {DIRECT, *UPPER}):  # others are left as they are
        assert linear_factors(RULES[name](), net, Feedback()) is None


def test_a_rule_derived_from_a_chained_one_is_heard():
    """Its deltas are its own, and the factors of the class below are not."""

    class Doubled(FeedbackAlignment):
        def deltas(self, weights, feedback, trace, error):
            *below, last = super().deltas(weights, feedback, trace, error)
            return (*(2 * delta for delta in below), last)

    net, data = setting((30, 12, 1), 8)
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(0), (30, 12, 1), "layerwise")
    assert pays(net, data)
    plain = by_layer("feedback-alignment", net, feedback, data)
    found = Doubled().vector_field(net, feedback, data).weights
    np.testing.assert_allclose(found[0], 2 * plain[0], rtol=1e-11)
    np.testing.assert_allclose(found[1], plain[1], rtol=1e-11)
