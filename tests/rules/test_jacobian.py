"""The Jacobian by matrix products against finite differences of the flows written in numpy."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from faflow.feedback import Feedback
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import (
    RULES,
    AbstractChainRule,
    AbstractDirectRule,
    has_jacobian,
    jacobian,
    rule_jacobian,
)


def differences(flow, field=None):
    """Central differences of order 4 of a numpy field, the flow's own unless given."""
    field = field or (lambda y, flow: oracles.field(0.0, y, flow))
    y, columns = flow.state, []
    for i in range(y.size):
        step = np.zeros_like(y)
        step[i] = 1e-3
        values = [field(y + k * step, flow) for k in (-2, -1, 1, 2)]
        columns.append((values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-3)
    return np.stack(columns, axis=1)


CASES = (
    [
        (rule, (3, 4, 2), "tanh", True, "squared")
        for rule in ("gradient", "feedback-alignment", "direct-feedback-alignment")
    ]
    + [
        pytest.param(rule, (3, 4, 5, 3, 2), "erf", True, "logcosh", marks=pytest.mark.slow)
        for rule in ("gradient", "feedback-alignment", "direct-feedback-alignment")
    ]
    + [
        ("gradient", (3, 2), "linear", True, "cross-entropy"),
        ("feedback-alignment", (3, 4, 5, 1), "quadratic", False, "squared"),
        ("gradient", (3, 4, 5, 3), "tanh", False, "cross-entropy"),
        ("potential-feedback", (3, 4, 5, 2), "tanh", True, "squared"),  # G = tanh(W)
        ("mixed-feedback-alignment", (2, 4, 3, 2), "erf", False, "squared"),
        ("fixed-magnitude-sign-symmetry", (3, 4, 2), "tanh", True, "squared"),
        ("uniform-sign-symmetry", (3, 2, 2, 1), "erf", False, "squared"),
        ("last-layer-only", (3, 4, 2), "tanh", False, "squared"),
        ("fixed-weight-difference-target-propagation", (3, 4, 3, 2), "tanh", True, "squared"),
    ]
)


@pytest.mark.parametrize(("rule", "widths", "activation", "bias", "loss"), CASES)
def test_jacobian(rule, widths, activation, bias, loss, monkeypatch):
    flow = oracles.random_flow(
        0, widths, rule=rule, activation=activation, bias=bias, loss=loss, scale=0.7
    )
    problem = oracles.to_problem(flow)
    given = (problem.rule, problem.weights, problem.feedback, problem.data)
    exact = differences(flow)
    size = np.abs(exact).max()
    whole = np.asarray(eqx.filter_jit(rule_jacobian)(*given))
    np.testing.assert_allclose(whole, exact, atol=1e-8 * size)
    assert np.abs(whole - whole.T).max() < 1e-12 * size or rule != "gradient"
    if rule != "gradient":  # control: feedback makes it unsymmetric
        assert np.abs(whole - whole.T).max() > 1e-3 * size
    monkeypatch.setattr(jacobian, "CHUNK", 200)  # several chunks, the last one filled up
    in_chunks = eqx.filter_jit(lambda *given: rule_jacobian(*given))(*given)
    np.testing.assert_allclose(in_chunks, whole, atol=1e-13 * size)


class OfAllWeights(AbstractChainRule):
    """M_l = W_l ||W_l|| sum(W_2): no function of each entry alone, nor of each layer."""

    equation = source = "a test"
    form = "none"

    def backward(self, weights, feedback):
        return [W * jnp.linalg.norm(W) * jnp.sum(weights[0]) for W in weights]

    def laws(self, weights):
        return {}


def test_a_rule_of_the_user_s_that_mixes_weights():
    """Against finite differences of the same recursion in numpy."""

    def field(y, flow):
        at = flow.at(y)
        own = [w * np.linalg.norm(w) * at.weights[1].sum() for w in at.weights[1:]]
        back = replace(at, feedback=tuple(own))
        return np.concatenate([part.ravel() for parts in oracles.velocity(back) for part in parts])

    flow = oracles.random_flow(3, (3, 4, 3, 2), bias=True, scale=0.7)
    problem = oracles.to_problem(flow)
    given = (OfAllWeights(), problem.weights, Feedback(), problem.data)
    exact = differences(flow, field)
    assert has_jacobian(*given[:2])
    whole = np.asarray(eqx.filter_jit(rule_jacobian)(*given))
    np.testing.assert_allclose(whole, exact, atol=1e-8 * np.abs(exact).max())


def test_whom_it_serves():
    net = MLP((jnp.ones((2, 3)), jnp.ones((1, 2))), (), ACTIVATIONS["tanh"]())
    for name in sorted(RULES):
        nouns = AbstractChainRule | AbstractDirectRule
        assert has_jacobian(RULES[name](), net) is isinstance(RULES[name](), nouns)
    for name in ("gradient", "uniform-sign-symmetry", "direct-feedback-alignment"):
        assert has_jacobian(RULES[name](), net)
    for name in (
        "kolen-pollack",
        "hebbian",
        "sign-error-direct-feedback",
        "monotone-direct-feedback",
    ):
        assert not has_jacobian(RULES[name](), net)
    for method in ("deltas", "vector_field", "velocity"):  # of its own
        derived = type("Derived", (RULES["gradient"],), {method: lambda self, *args: None})
        assert not has_jacobian(derived(), net)
