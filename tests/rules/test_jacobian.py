"""The Jacobian by matrix products against finite differences of the flows written in numpy."""

import importlib.util
import sys
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import RULES, has_jacobian, jacobian, rule_jacobian

_spec = importlib.util.spec_from_file_location(
    "oracles", Path(__file__).parents[1] / "theory" / "oracles.py"
)
oracles = importlib.util.module_from_spec(_spec)
sys.modules["oracles"] = oracles
_spec.loader.exec_module(oracles)


def differences(flow):
    """Central differences of order 4 of the numpy field, column by column."""
    y, columns = flow.state, []
    for i in range(y.size):
        step = np.zeros_like(y)
        step[i] = 1e-3
        values = [oracles.field(0.0, y + k * step, flow) for k in (-2, -1, 1, 2)]
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


def test_whom_it_serves():
    net = MLP((jnp.ones((2, 3)), jnp.ones((1, 2))), (), ACTIVATIONS["tanh"]())
    assert has_jacobian(RULES["gradient"](), net)
    for name in ("uniform-sign-symmetry", "kolen-pollack", "hebbian"):
        assert not has_jacobian(RULES[name](), net)
    derived = type("Derived", (RULES["gradient"],), {})  # which may have deltas of its own
    assert not has_jacobian(derived(), net)
