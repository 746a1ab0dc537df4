"""Exact flows against the discrete rule, which converges to them at first order in its step."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics
from faflow.flow.piecewise import integrate_exact
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import DirectFeedbackAlignment, FeedbackAlignment, Gradient
from faflow.tasks import make_data

RULES = {
    "gradient": Gradient, "feedback": FeedbackAlignment, "direct": DirectFeedbackAlignment
}  # fmt: skip


def random_problem(rule, widths, samples, seed, activation="relu", bias=False, loss="squared"):
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    weights = tuple(jnp.asarray(rng.standard_normal((o, i)) * (2 / i) ** 0.5) for i, o in pairs)
    biases = tuple(jnp.asarray(0.1 * rng.standard_normal(o)) for o in widths[1:]) if bias else ()
    inputs = rng.standard_normal((samples, widths[0]))
    targets = rng.standard_normal((samples, widths[-1]))
    if loss == "cross-entropy":
        targets = np.eye(widths[-1])[targets.argmax(1)]
    form = RULES[rule].form
    shapes = {
        "none": [],
        "layerwise": [(o, i) for i, o in pairs[1:]],
        "direct": [(widths[-1], n) for n in widths[1:-1]],
    }[form]
    matrices = tuple(jnp.asarray(rng.standard_normal(s) / s[1] ** 0.5) for s in shapes)
    network = MLP(weights, biases, ACTIVATIONS[activation]())
    data = make_data(inputs, targets, loss, "mean")
    return FlowProblem(RULES[rule](), network, Feedback(matrices, form), data)


@jax.jit
def euler(problem, eta, steps):
    def step(_, weights):
        move = problem.rule.vector_field(weights, problem.feedback, problem.data)
        return jax.tree.map(lambda w, dw: w + eta * dw, weights, move)

    return jax.lax.fori_loop(0, steps, step, problem.weights)


def distance(one, two):
    parts = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return float(np.sqrt(sum(np.sum((np.asarray(a) - np.asarray(b)) ** 2) for a, b in parts)))


CASES = {
    "deep feedback, biases": ("feedback", (3, 5, 5, 5, 1), 10, 3, "relu", True, "squared"),
    "gradient, leaky, two outputs": ("gradient", (4, 6, 6, 2), 12, 2, "leaky-relu", False,
                                     "squared"),
    "direct, biases": ("direct", (4, 6, 6, 2), 12, 1, "relu", True, "squared"),
    "cross-entropy": ("feedback", (4, 6, 6, 3), 12, 3, "relu", False, "cross-entropy"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_discrete_rule_converges_to_it(case):
    problem = random_problem(*CASES[case])
    ts = jnp.array([0.0, 20.0])

    def solve(solver, tol):
        numerics = Numerics(solver=solver, rtol=tol, atol=tol, max_steps=20_000)
        return integrate_exact(problem, ts, {"loss": Loss()}, numerics, tiers=(0, 16))

    exact = solve("tsit5", 1e-10)
    assert int(exact.outcome) == Outcome.COMPLETED
    assert int(exact.counts.landed) >= 3
    gaps = []
    for eta in (1e-2, 1e-3, 1e-4):
        steps = round(20.0 / eta)
        gaps.append(distance(euler(problem, eta, steps), exact.weights) / eta)
    assert max(gaps[1:]) < 2 * min(gaps[1:]), gaps
