"""Predictions 1-7: the laws' rates along the field at random weights, without an integrator.

Oracle: `oracles.velocity`, numpy from the equations, contracted by hand with the laws' gradients.
"""

from dataclasses import replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from oracles import random_flow, to_problem
from rates import relative_rate

from faflow.feedback import Feedback
from faflow.flow import FlowProblem
from faflow.observables import (
    AbstractPotential,
    Balance,
    FeedbackPotential,
    WeightPotential,
    balance_laws,
)
from faflow.rules import AbstractLayerwiseRule, KolenPollack, backward_sweep

ZERO = 1e-12  # relative to the law's own terms
BROKEN = 5e-3  # what every layer of a control misses by, at least; typically 0.05-1
WIDTHS = (4, 7, 6, 5, 3)


def neuron_rates(flow, feedback, degree, bias=True):
    """Relative dQ_lj/dt: <W_l[j], W_l'[j]> (+ beta beta') - k <F[:,j], W_{l+1}'[:,j]>."""
    moves, shifts = oracles.velocity(flow)
    out = []
    for l, matrix in enumerate(feedback):
        terms = [(flow.weights[l] * moves[l]).sum(axis=1)]
        terms.append(-degree * (matrix * moves[l + 1]).sum(axis=0))
        if flow.biases and bias:
            terms.append(flow.biases[l] * shifts[l])
        out.append(np.abs(sum(terms)).max() / sum(map(np.abs, terms)).max())
    return out


@pytest.mark.parametrize("widths", [(3, 5, 1), WIDTHS])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("loss", ["squared", "cross-entropy", "logcosh"])
@pytest.mark.parametrize(
    "activation", ["linear", "relu", "leaky-relu", "relu-squared", "quadratic"]
)
def test_feedback_alignment_keeps_every_neuron_and_layer(widths, bias, loss, activation, measured):
    """Predictions 1-4: any depth, output, homogeneous phi, loss, biases."""
    if loss == "cross-entropy" and widths[-1] == 1:
        loss = "squared"
    flow = random_flow(0, widths, bias=bias, loss=loss, activation=activation)
    degree = oracles.ACTIVATIONS[activation][2]
    number = 4 if bias else 3 if degree == 2 else 1 if loss == "squared" else 2
    what = f"{activation}, {loss}, {'biases' if bias else 'no biases'}: relative rate"
    rates = neuron_rates(flow, flow.feedback, degree)
    problem = to_problem(flow)
    laws = problem.rule.laws(problem.weights)
    for name in ("layer-balance", "neuron-balance"):
        rates += relative_rate(laws[name], problem)
    measured(number, what, max(rates), below=ZERO)


def test_law_values_are_those_of_the_equations():
    flow = random_flow(1, WIDTHS, bias=True, activation="relu-squared")
    problem = to_problem(flow)
    laws = problem.rule.laws(problem.weights)
    psi = [w * f for w, f in zip(flow.weights[1:], flow.feedback, strict=True)]
    expected = oracles.neuron_balance(flow, psi, degree=2)
    where = (problem.weights, problem.feedback, problem.data)
    for got, want in zip(laws["neuron-balance"](*where), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
    sums = [q.sum() for q in expected]
    np.testing.assert_allclose(laws["layer-balance"](*where), sums, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("activation", ["tanh", "erf"])
def test_control_inhomogeneous_activations_keep_nothing(activation, measured):
    """Prediction 2: tanh drifts O(1) in every layer and is not said to be kept."""
    problem = to_problem(random_flow(2, WIDTHS, activation=activation, scale=2.0))
    assert problem.rule.laws(problem.weights) == {}
    law = Balance(FeedbackPotential(), "neuron-balance", (1, 2, 3))
    measured(
        2, f"control, {activation}: relative rate", min(relative_rate(law, problem)), above=BROKEN
    )


@pytest.mark.parametrize("activation", ["relu-squared", "quadratic"])
def test_control_the_wrong_degree_breaks_the_law(activation, measured):
    """Prediction 3: k = 2 is needed; k = 1 leaves half of the upper term over."""
    problem = to_problem(random_flow(3, WIDTHS, activation=activation))
    for degree, broken in ((2.0, False), (1.0, True)):
        rates = relative_rate(
            Balance(FeedbackPotential(), "layer-balance", (1, 2, 3), degree), problem
        )
        if broken:
            measured(3, f"control, {activation}, k = 1: rate", min(rates), above=BROKEN)
        else:
            measured(3, f"{activation}, k = 2: rate", max(rates), below=ZERO)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_control_dropping_the_hidden_bias_breaks_the_law(activation, measured):
    """Prediction 4: without 1/2 beta_l^2 the rate is beta_l beta_l'."""
    flow = random_flow(4, WIDTHS, bias=True, activation=activation)
    assert max(neuron_rates(flow, flow.feedback, 1)) < ZERO
    rate = min(neuron_rates(flow, flow.feedback, 1, bias=False))
    measured(4, f"control, {activation}, without 1/2 beta^2: rate", rate, above=BROKEN)


def matrix_rates(flow, feedback):
    """d/dt [W_l W_l^T + beta_l beta_l^T - F^T W - W^T F] and its diagonal, relative (2.3)."""
    moves, shifts = oracles.velocity(flow)
    out = []
    for l, matrix in enumerate(feedback):
        own = moves[l] @ flow.weights[l].T + np.outer(shifts[l], flow.biases[l])
        upper = matrix.T @ moves[l + 1]
        rate = own + own.T - upper - upper.T
        out.append((np.abs(rate).max(), np.abs(np.diag(rate)).max()) / np.abs(upper).max())
    return np.array(out).T


def test_linear_nets_keep_the_matrix_law(measured):
    """Prediction 5, with biases."""
    flow = random_flow(5, WIDTHS, bias=True, activation="linear")
    problem = to_problem(flow)
    law = problem.rule.laws(problem.weights)["matrix-balance"]
    rate = max(matrix_rates(flow, flow.feedback)[0].max(), *relative_rate(law, problem))
    measured(5, "linear: rate of the matrix", rate, below=ZERO)


def test_control_relu_keeps_only_the_diagonal_of_the_matrix_law(measured):
    flow = random_flow(5, WIDTHS, bias=True, activation="relu")
    whole, diagonal = matrix_rates(flow, flow.feedback)
    measured(5, "ReLU: rate of the diagonal", diagonal.max(), below=ZERO)
    measured(5, "control, ReLU: rate of the whole matrix", whole.min(), above=BROKEN)
    problem = to_problem(flow)
    assert "matrix-balance" not in problem.rule.laws(problem.weights)
    law = Balance(FeedbackPotential(), "matrix-balance", (1, 2, 3))
    assert min(relative_rate(law, problem)) > BROKEN


@pytest.mark.parametrize("activation", ["relu", "relu-squared"])
def test_direct_feedback_keeps_the_last_hidden_layer_only(activation, measured):
    """Prediction 6: Q_{L-1} with F_L = D_{L-1}; below, the effective feedback law breaks O(1)."""
    flow = random_flow(
        6, WIDTHS, bias=True, activation=activation, rule="direct-feedback-alignment"
    )
    problem = to_problem(flow)
    laws = problem.rule.laws(problem.weights)
    assert laws["neuron-balance"].layers == (3,)
    rate = relative_rate(laws["neuron-balance"], problem)[0]
    measured(6, f"{activation}, last hidden layer: rate", rate, below=ZERO)
    lower = Balance(FeedbackPotential(), "neuron-balance", (1, 2), laws["neuron-balance"].degree)
    rate = min(relative_rate(lower, problem))
    measured(6, f"control, {activation}, layers below: rate", rate, above=BROKEN)


def test_linear_direct_feedback_is_feedback_alignment(measured):
    """Prediction 6: F_{l+1} = pinv(D_{l+1}) D_l keeps every layer; pinv needs n_{l+1} >= n_L."""
    flow = random_flow(7, WIDTHS, activation="linear", rule="direct-feedback-alignment")
    first, second, last = flow.feedback
    chained = (np.linalg.pinv(second) @ first, np.linalg.pinv(last) @ second, last)
    assert max(neuron_rates(flow, chained, 1)) < ZERO
    same = replace(flow, rule="feedback-alignment", feedback=chained)
    for direct, layerwise in zip(oracles.velocity(flow)[0], oracles.velocity(same)[0], strict=True):
        np.testing.assert_allclose(direct, layerwise, rtol=1e-12, atol=1e-12)
    problem = to_problem(flow)
    laws = problem.rule.laws(problem.weights)
    for law in laws.values():
        assert law.layers == (1, 2, 3)
        measured(6, "linear, every layer: rate", max(relative_rate(law, problem)), below=ZERO)


def test_control_below_a_narrow_layer_the_whole_balances_break():
    """n_2 = 2 < n_3 = 3: no F_2 with D_2 F_2 = D_1 exists, and layer 1 has none of FA's laws (what
    it has: test_direct_laws.py)."""
    flow = random_flow(8, (4, 5, 2, 3), activation="linear", rule="direct-feedback-alignment")
    problem = to_problem(flow)
    assert problem.rule.laws(problem.weights)["layer-balance"].layers == (2,)
    chained = (np.linalg.pinv(flow.feedback[1]) @ flow.feedback[0], flow.feedback[1])
    first, second = neuron_rates(flow, chained, 1)
    assert first > BROKEN
    assert second < ZERO


@pytest.mark.parametrize("activation", ["linear", "relu", "relu-squared"])
def test_gradient_keeps_its_balance(activation, measured):
    """Prediction 7, and the control: feedback alignment's field does not keep it."""
    flow = random_flow(9, WIDTHS, bias=True, activation=activation, rule="gradient")
    degree = oracles.ACTIVATIONS[activation][2]
    assert max(neuron_rates(flow, flow.weights[1:], degree)) < ZERO
    problem = to_problem(flow)
    for law in problem.rule.laws(problem.weights).values():
        rate = max(relative_rate(law, problem))
        measured(7, f"gradient, {activation}: rate", rate, below=ZERO)
    other = to_problem(random_flow(9, WIDTHS, bias=True, activation=activation))
    for law in balance_laws(other.weights, WeightPotential()).values():
        rate = min(relative_rate(law, other))
        measured(7, f"control, gradient's law under FA, {activation}: rate", rate, above=BROKEN)


class AbsolutePotential(AbstractPotential):
    """psi = sum |M_ij| |W_ij|; M = `feedback` for frSF, 1 for uSF (2.5)."""

    def entries(self, weights, feedback, upper):
        weight = weights.weights[upper - 1]
        size = jnp.abs(feedback.matrices[upper - 2]) if feedback.matrices else jnp.ones_like(weight)
        return size * jnp.abs(weight)

    def matrix(self, weights, feedback, upper):
        raise NotImplementedError


class SignFeedback(AbstractLayerwiseRule):
    """A rule from outside: G_l = |M_l| . sign(W_l), M from the feedback or 1."""

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (|M_{l+1}| . sign(W_{l+1}))^T delta_{l+1}"
    source: ClassVar[str] = "Liao, Leibo & Poggio 2016; Xiao et al. 2018"
    form: ClassVar[str] = "layerwise"

    def deltas(self, weights, feedback, trace, error):
        signs = [jnp.sign(weight) for weight in weights.weights[1:]]
        if feedback.matrices:
            sizes = [jnp.abs(matrix) for matrix in feedback.matrices]
            signs = [size * sign for size, sign in zip(sizes, signs, strict=True)]
        return backward_sweep(weights, signs, trace, error)

    def laws(self, weights):
        laws = balance_laws(weights, AbsolutePotential())
        return {name: law for name, law in laws.items() if name != "matrix-balance"}


@pytest.mark.parametrize("magnitudes", ["unit", "fixed"])
def test_sign_feedback_keeps_its_one_norm(magnitudes, measured):
    """Prediction 7: psi = ||W||_1 (uSF), sum |M||W| (frSF), for a rule written by a user."""
    flow = random_flow(10, WIDTHS, bias=True, activation="relu")
    sizes = flow.feedback if magnitudes == "fixed" else [np.ones_like(f) for f in flow.feedback]
    pairs = zip(sizes, flow.weights[1:], strict=True)
    signed = replace(flow, feedback=tuple(np.abs(m) * np.sign(w) for m, w in pairs))
    assert max(neuron_rates(signed, signed.feedback, 1)) < ZERO
    plain = to_problem(flow)
    feedback = plain.feedback if magnitudes == "fixed" else Feedback((), "layerwise")
    problem = FlowProblem(SignFeedback(), plain.weights, feedback, plain.data)
    for law in problem.rule.laws(problem.weights).values():
        rate = max(relative_rate(law, problem))
        measured(7, f"signs with {magnitudes} magnitudes: rate", rate, below=ZERO)
    for law in balance_laws(problem.weights, WeightPotential()).values():
        rate = min(relative_rate(law, problem))
        measured(7, f"control, gradient's law, {magnitudes} magnitudes: rate", rate, above=BROKEN)


def test_kolen_pollack_without_decay_balances_weights_against_feedback(measured):
    """Prediction 7: 1/2||W_l[j]||^2 - 1/2||F_{l+1}[:,j]||^2 with F' = W'; FA's own law breaks."""
    flow = random_flow(11, WIDTHS, bias=True, activation="relu")
    # F' = W' makes <F, F'> = <F, W'>: the numpy rate is feedback alignment's.
    assert max(neuron_rates(flow, flow.feedback, 1)) < ZERO
    plain = to_problem(flow)
    problem = FlowProblem(KolenPollack(), plain.weights, plain.feedback, plain.data)
    for law in problem.rule.laws(problem.weights).values():
        measured(7, "Kolen-Pollack: rate", max(relative_rate(law, problem)), below=ZERO)
    law = Balance(FeedbackPotential(), "neuron-balance", (1, 2, 3))
    rate = min(relative_rate(law, problem))
    measured(7, "control, FA's law under Kolen-Pollack: rate", rate, above=BROKEN)
