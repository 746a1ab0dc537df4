"""One rule in all its forms is one rule, and a chain rule's noun knows pytrees of any leaves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow._results import Outcome
from faflow.analysis import law_rate
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, solve
from faflow.flow.piecewise.gates import backward
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import FunctionPotential, balance_laws
from faflow.rules import (
    RULES,
    AbstractChainRule,
    AbstractDirectRule,
    AbstractLayerwiseRule,
    AbstractWeightRule,
    backward_sweep,
    outer_products,
    says_no_more,
)
from faflow.tasks import make_data

WIDTHS, SAMPLES = (3, 5, 4, 2), 6


class Said:
    """What all forms say of themselves; G = W^3."""

    equation = source = "this test"
    form = "none"

    def laws(self, weights):
        return balance_laws(weights, FunctionPotential(lambda W: W**4 / 4))


class Chain(Said, AbstractChainRule):
    def backward(self, weights, feedback):
        return jax.tree.map(lambda W: W**3, weights)


class Deltas(Said, AbstractLayerwiseRule):
    """The form of a rule before chains were a noun, which asks the activation for its slopes."""

    def deltas(self, weights, feedback, trace, error):
        found = [error]
        for h, W in zip(trace.pre[-2::-1], weights.weights[:0:-1], strict=True):
            found.append(weights.activation.derivative(h) * (found[-1] @ W**3))
        return tuple(found[::-1])


class Swept(Said, AbstractLayerwiseRule):
    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, [W**3 for W in weights.weights[1:]], trace, error)


class Whole(Said, AbstractWeightRule):
    def vector_field(self, weights, feedback, data):
        trace = weights.trace(data.inputs)
        deltas = Deltas().deltas(weights, feedback, trace, data.error(trace.outputs))
        return outer_products(weights, trace, deltas)


FORMS = [Chain, Deltas, Swept, Whole]


def setting(activation="tanh", form="none"):
    rng = np.random.default_rng(2)
    pairs = list(zip(WIDTHS[1:], WIDTHS[:-1], strict=True))
    weights = tuple(jnp.asarray(rng.standard_normal(pair) / pair[1] ** 0.5) for pair in pairs)
    shapes = {"none": [], "layerwise": pairs[1:], "direct": [(2, 5), (2, 4)]}[form]
    feedback = Feedback(tuple(jnp.asarray(rng.standard_normal(s)) for s in shapes), form)
    data = make_data(
        rng.standard_normal((SAMPLES, WIDTHS[0])), rng.standard_normal((SAMPLES, WIDTHS[-1]))
    )
    return MLP(weights, (), ACTIVATIONS[activation]()), feedback, data


def test_all_forms_of_a_rule_flow_alike():
    """With a dense Jacobian, the chain's by products over samples, the others' by columns."""
    whole = eqx.filter_jit(solve)  # `integrate` has three programs
    net, feedback, data = setting()
    ends = {}
    for form in FORMS:
        problem = FlowProblem(form(), net, feedback, data)
        numerics = Numerics(solver="bdf-dense", rtol=1e-9, atol=1e-11)
        solution = whole(problem, np.array([0.0, 1.0]), {}, numerics)
        assert Outcome(int(solution.outcome)) is Outcome.COMPLETED
        ends[form] = np.concatenate([np.ravel(w) for w in solution.weights.weights])
    moved = np.linalg.norm(ends[Chain] - np.concatenate([np.ravel(w) for w in net.weights]))
    assert moved > 0.3
    for end in ends.values():
        assert np.abs(end - ends[Chain]).max() < 1e-11 * moved


@pytest.mark.parametrize("activation", ["relu-squared", "linear"])
def test_all_forms_keep_their_law(activation):
    net, feedback, data = setting(activation)
    for form in FORMS:
        law = form().laws(net)["neuron-balance"]
        rate = law_rate(law, form(), net, feedback, data)
        assert max(float(jnp.max(part)) for part in rate.relative) < 1e-13
        other = law_rate(law, RULES["gradient"](), net, feedback, data)  # control
        assert max(float(jnp.max(part)) for part in other.relative) > 1e-3


def derived(name):
    """The rule of this name with `deltas` of its own, which are the same."""
    kind = RULES[name]
    own = lambda self, *given: kind.deltas(self, *given)  # noqa: E731
    return type("Derived", (kind,), {"deltas": own})()


@pytest.mark.parametrize(
    ("named", "alone"),
    [
        (Chain(), Deltas()),
        (Chain(), Swept()),
        (RULES["mixed-feedback-alignment"](), derived("mixed-feedback-alignment")),
    ],
)
@pytest.mark.parametrize("injecting", [False, True])
def test_gates_of_the_exact_flow_read_the_noun_or_look_on(named, alone, injecting):
    """A rule that says its deltas alone is watched: the same deltas and signals."""
    net, feedback, data = setting("relu", named.form)
    rng = np.random.default_rng(5)
    gates, more = (
        tuple(jnp.asarray(rng.standard_normal((SAMPLES, n))) for n in WIDTHS[1:-1]) for _ in "ab"
    )
    trace = net.trace(data.inputs)
    given = (net, feedback, trace, data.error(trace.outputs), gates, more if injecting else None)
    ours, theirs = backward(named, *given), backward(alone, *given)
    assert isinstance(named, AbstractChainRule) and not says_no_more(alone, AbstractChainRule)
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-14)
    by_hand = gates[1] * (given[3] @ named.matrices(net, feedback)[1]) + (
        more[1] if injecting else 0
    )
    np.testing.assert_allclose(ours.deltas[1], by_hand, rtol=1e-13)


@pytest.mark.parametrize("name", [n for n, r in RULES.items() if issubclass(r, AbstractDirectRule)])
def test_gates_hear_what_drives(name):
    rule = RULES[name]()
    net, feedback, data = setting("relu", rule.form)
    trace = net.trace(data.inputs)
    error = data.error(trace.outputs)
    gates = tuple(jnp.abs(h) for h in trace.pre[:-1])
    ours = backward(rule, net, feedback, trace, error, gates)
    for l, matrix in enumerate(feedback.matrices):
        above = feedback.matrices[l:][::-1] if rule.form == "layerwise" else [matrix]
        signal = np.linalg.multi_dot([error, *above])
        np.testing.assert_allclose(ours.signals[l], signal, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(ours.deltas[l], gates[l] * signal, rtol=1e-13, atol=1e-13)


class Curved(Said, AbstractLayerwiseRule):
    def deltas(self, weights, feedback, trace, error):
        return jnp.tanh(trace.pre[0]) * (error @ weights.weights[1]), error


def test_gates_refuse_what_is_no_slope_times_a_signal():
    net, feedback, data = setting("relu")
    trace = net.trace(data.inputs)
    gates = tuple(jnp.abs(h) for h in trace.pre[:-1])
    with pytest.raises(ValueError, match="says `backward` or `drive`"):
        backward(Curved(), net, feedback, trace, data.error(trace.outputs), gates)


ENTRY_BY_ENTRY = {
    "gradient": lambda w, f: w,
    "feedback-alignment": lambda w, f: f,
    "uniform-sign-symmetry": lambda w, f: np.sign(w),
    "fixed-magnitude-sign-symmetry": lambda w, f: np.abs(f) * np.sign(w),
    "last-layer-only": lambda w, f: 0 * w,
    "mixed-feedback-alignment": lambda w, f: (w + f) / 2,
    "potential-feedback": lambda w, f: np.tanh(w),
}


@pytest.mark.parametrize("name", [n for n, r in RULES.items() if issubclass(r, AbstractChainRule)])
def test_the_noun_takes_pytrees_of_any_leaves(name):
    rng = np.random.default_rng(0)
    draw = lambda: {  # noqa: E731
        "conv": jnp.asarray(rng.standard_normal((4, 2, 3, 3))),
        "heads": [jnp.asarray(rng.standard_normal(shape)) for shape in ((3, 5), (2, 3, 4))],
    }
    weights, feedback = draw(), draw()
    rule = RULES[name]()
    found = rule.backward(weights, feedback if rule.form == "layerwise" else ())
    wanted = jax.tree.map(ENTRY_BY_ENTRY[name], weights, feedback)
    assert jax.tree.structure(found) == jax.tree.structure(weights)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-14, atol=1e-15)
