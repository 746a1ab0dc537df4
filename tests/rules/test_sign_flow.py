"""The sign flow, W' = sign(g): its field for every rule, its laws and how many it has.

Oracles: Marcotte, Gribonval & Peyre 2025 (|U| - |V| of scalars, none in wider nets); by hand for
feedback alignment: with one output all rows of W_1 move together, up to sign(F).
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.discovery import discover
from faflow.feedback import Feedback, feedback_shapes
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import RULES, AbstractWeightRule, Gradient, Sign
from faflow.tasks import make_data

FA = RULES["feedback-alignment"]()


def network(seed, widths, activation="linear"):
    rng = np.random.default_rng(seed)
    weights = tuple(jnp.asarray(rng.normal(size=(b, a))) for a, b in itertools.pairwise(widths))
    return MLP(weights, (), ACTIVATIONS[activation]())


def feedback(widths, form):
    rng = np.random.default_rng(77)
    shapes = feedback_shapes(widths, form)
    return Feedback(tuple(jnp.asarray(rng.normal(size=shape)) for shape in shapes), form)


def lesson(widths, seed=9):
    rng = np.random.default_rng(seed)
    return make_data(rng.normal(size=(5, widths[0])), rng.normal(size=(5, widths[-1])), "logcosh")


@pytest.mark.parametrize("name", RULES)
def test_every_rule_whose_state_is_weights_has_a_sign_flow(name):
    """Its entries are -1, 0 or 1 and never against the rule's own; other rules are refused."""
    widths, rule = (3, 4, 2), RULES[name]()
    if not isinstance(rule, AbstractWeightRule):
        with pytest.raises(ValueError, match="Sign modifies rules whose state is the weights"):
            Sign(rule)
        return
    net, back, data = network(0, widths), feedback(widths, rule.form), lesson(widths)
    plain, signs = (one.velocity(jnp.zeros(()), net, back, data) for one in (rule, Sign(rule)))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(signs), strict=True):
        assert set(np.unique(b)) <= {-1.0, 0.0, 1.0}
        assert np.all(np.asarray(a) * np.asarray(b) == np.abs(np.asarray(a)))


@pytest.mark.parametrize("rule", [Gradient(), FA], ids=["gradient", "fa"])
@pytest.mark.parametrize("activation", ["linear", "leaky-relu"])
def test_scalars_keep_the_balance_of_sizes(rule, activation):
    """At three states, and not under the rule itself."""
    widths = (1, 1, 1, 1)
    back, data = feedback(widths, rule.form), lesson(widths)
    for seed in range(3):
        net = network(seed, widths, activation)
        law = Sign(rule).laws(net)["absolute-balance"]
        for one, kept in ((Sign(rule), True), (rule, False)):
            move = one.velocity(jnp.zeros(()), net, back, data)
            rate = jax.jvp(lambda w, law=law: law(w, back, data), (net,), (move,))[1]
            assert bool(np.max(np.abs(np.asarray(rate))) < 1e-12) is kept
    assert Sign(rule).laws(network(0, (2, 2, 1))) == {}


@pytest.mark.parametrize(
    ("rule", "widths", "inside", "everywhere"),
    [
        (Gradient(), (1, 1, 1), 1, None),  # a flow that keeps |U| > |V| never crosses U = 0
        (Gradient(), (2, 2, 1), 2, 0),  # while no sign of W_2 changes its rows move alike
        (FA, (1, 1, 1, 1), 2, 2),
        (FA, (2, 2, 1), 2, 2),  # sign(F_1) W_1[0] - sign(F_2) W_1[1]
        (FA, (2, 3, 2), 0, 0),
    ],
    ids=str,
)
def test_how_many_laws(rule, widths, inside, everywhere):
    found = discover(Sign(rule), network(0, widths), feedback(widths, rule.form), degree=None)
    assert (found.independent, found.everywhere) == (inside, everywhere)
    assert all(law.kept and law.everywhere for law in found.known)
