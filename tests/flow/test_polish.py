"""`polish`: lands on the limit of the flow, against closed forms and much longer flows; a Newton
step of least norm and a polish that knows no laws are the controls."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.flatten_util import ravel_pytree
from oracles import Flow, random_flow, to_problem

from faflow.flow import FlowProblem, Numerics, integrate, polish
from faflow.rules import AbstractWeightRule, FeedbackAlignment, Gradient, LearningRates, Momentum
from faflow.tasks.answers import feedback_limit, minimum_norm_map

ACCURATE = Numerics(rtol=1e-12, atol=1e-14)


class Lawless(AbstractWeightRule):
    """Feedback alignment that knows none of its laws."""

    equation = source = "as feedback alignment"
    form = "layerwise"

    def vector_field(self, weights, feedback, data):
        return FeedbackAlignment().vector_field(weights, feedback, data)

    def laws(self, weights):
        return {}


def theorem2(first="span"):
    """Two-layer linear FA, one output: 4 samples, 10 inputs, 6 neurons."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 10)), rng.standard_normal((4, 1))
    b = rng.standard_normal((1, 6)) / 6**0.5
    w1 = rng.standard_normal((6, 4)) @ x if first == "span" else rng.standard_normal((6, 10))
    w1 = w1 * 0.9 * np.linalg.norm(b) / np.linalg.norm(w1)
    return to_problem(Flow("theorem-2", (w1, b), x, y, (b,), activation="linear"))


def narrow():
    """||Z W - Y||, r = 2 below the rank 5 of Y (7 x 6): stops where B E W^T and E W^T vanish."""
    rng = np.random.default_rng(5)
    y = rng.standard_normal((7, 5)) @ rng.standard_normal((5, 6)) / 5**0.5
    w, z = 0.3 * rng.standard_normal((2, 6)), 0.3 * rng.standard_normal((7, 2))
    b = rng.standard_normal((2, 7)) / 2**0.5
    return to_problem(Flow("narrow", (w, z), np.eye(6), y.T, (b.T,), activation="linear"))


def ends(problem, *times):
    return [integrate(problem, jnp.array([0.0, t]), {}, ACCURATE).weights for t in times]


def apart(a, b):
    return np.linalg.norm(oracles.final_state(a) - oracles.final_state(b))


def product(net):
    return np.asarray(net.weights[1]) @ np.asarray(net.weights[0])


def least_norm(problem, end):
    """Newton steps of least norm (the pseudo-inverse of J), the control."""
    w, unravel = ravel_pytree(end)
    field = lambda w: ravel_pytree(  # noqa: E731
        problem.rule.vector_field(unravel(w), problem.feedback, problem.data)
    )[0]
    both, w = jax.jit(lambda w: (jax.jacfwd(field)(w), field(w))), np.asarray(w)
    for _ in range(6):
        w = w - np.linalg.lstsq(*map(np.asarray, both(w)), rcond=1e-6)[0]
    assert np.linalg.norm(both(w)[1]) < 1e-13
    return unravel(jnp.asarray(w))


@pytest.mark.parametrize("first", ["span", "gaussian"])
def test_two_layer_fa_lands_on_the_limit(first):
    """Least norm stays a tenth of the way off and more: it lands on another fixed point."""
    problem = theorem2(first)
    end, limit = ends(problem, 8.0, 100.0)
    found = polish(problem, end, 8.0)
    gap = apart(end, limit)
    assert bool(found.converged) and not bool(found.far)
    assert float(found.residual[1]) < 1e-13 < float(found.residual[0])
    assert apart(found.weights, limit) < 1e-12 + 10 * gap**2
    assert apart(least_norm(problem, end), limit) > 0.05 * gap
    if first == "span":
        answer = np.asarray(minimum_norm_map(problem.data))
        np.testing.assert_allclose(product(found.weights), answer, atol=1e-12)
        assert np.abs(product(end) - answer).max() > 1e-9


def test_with_a_learning_rate_per_layer():
    """The rule's numbers are traced where its laws are asked for."""
    plain = theorem2()
    rule = LearningRates(rule=FeedbackAlignment(), rates=[1.0, 2.0])
    problem = FlowProblem(rule, plain.weights, plain.feedback, plain.data)
    end, limit = ends(problem, 6.0, 100.0)
    found = polish(problem, end, 6.0)
    gap = apart(end, limit)
    assert bool(found.converged) and float(found.law_kept) < 1e-14
    assert apart(found.weights, limit) < 1e-12 + 10 * gap**2 < 0.01 * gap


def test_the_laws_bring_it_closer():
    """From further off (1e-4): the same without the laws lands 50 times further away."""
    problem = theorem2()
    end, limit = ends(problem, 4.0, 100.0)
    found = polish(problem, end, 4.0)
    lawless = FlowProblem(Lawless(), problem.weights, problem.feedback, problem.data)
    without = polish(lawless, end, 4.0)
    assert bool(found.converged) and bool(without.converged)
    assert apart(found.weights, limit) < 5e-9
    assert apart(without.weights, limit) > 2e-8
    # The laws' change by Newton's steps is that distance, and is put back.
    assert 1e-9 < float(found.law_change) < 1e-6
    assert float(found.law_kept) < 1e-14 and float(without.law_change) == 0


def test_too_narrow_a_factorisation_lands_on_the_feedback_limit():
    problem = narrow()
    end, limit = ends(problem, 10.0, 400.0)
    found = polish(problem, end, 10.0)
    assert bool(found.converged)
    answer = np.asarray(
        feedback_limit(
            np.asarray(problem.data.targets).T, np.asarray(problem.feedback.matrices[0]).T
        )
    )
    np.testing.assert_allclose(product(found.weights), answer, atol=1e-9)
    assert np.abs(product(end) - answer).max() > 1e-7
    assert apart(found.weights, limit) < 1e-9 < 1e-6 < apart(end, limit)


def test_matrix_free_dfa():
    """5,050 weights, 20 x 100 data: no dense Jacobian; the residual goes to 1e-14."""
    flow = random_flow(
        0, (100, 50, 1), samples=20, rule="direct-feedback-alignment", activation="linear"
    )
    problem = to_problem(replace(flow, inputs=flow.inputs / 10))
    end, limit = ends(problem, 20.0, 80.0)
    found = polish(problem, end, 20.0)
    assert bool(found.converged)
    assert float(found.residual[1]) < 1e-13 < 1e-9 < float(found.residual[0])
    assert apart(found.weights, limit) < 1e-11 < 1e-9 < apart(end, limit)


def test_from_far_away_it_says_so():
    problem = theorem2()
    (end,) = ends(problem, 0.3)
    found = polish(problem, end, 0.3)
    assert bool(found.far)


def test_what_it_does_not_serve():
    problem = theorem2()
    moving = FlowProblem(Momentum(Gradient(), 0.5), problem.weights, problem.feedback, problem.data)
    with pytest.raises(ValueError, match=r"rule Momentum, whose state is more than its weights"):
        polish(moving, problem.weights, 1.0)
    kinked = replace(
        problem, weights=to_problem(random_flow(0, (3, 4, 2), activation="relu")).weights
    )
    with pytest.raises(ValueError, match=r"activation RectifiedPower.*without kinks"):
        polish(kinked, kinked.weights, 1.0)
