"""Prediction 6 below narrow layers: what linear nets under direct feedback keep there.

W_l' = -D_l^T E A_{l-1}^T, W_{l+1}' = -D_{l+1}^T E A_l^T. With Y = E A_l^T the rate of W_l W_l^T +
beta_l beta_l^T is -(D_l^T Y + Y^T D_l), and that of F^T W_{l+1} is -F^T D_{l+1}^T Y. They agree on
u, v with D_l u = D_{l+1} F u: F = D_{l+1}^+ D_l and u in the null space of
(1 - D_{l+1} D_{l+1}^+) D_l.
"""

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from oracles import random_flow, to_problem
from rates import jitted_relative_rate as relative_rate
from scipy.linalg import null_space

from faflow.analysis import law_rate
from faflow.discovery import discover
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.observables import Balance, FeedbackPotential, SubspaceBalance
from faflow.rules import RULES

DFA = "direct-feedback-alignment"


def rate_of_the_matrix(flow, l):
    """d/dt [W_l W_l^T + beta beta^T - F^T W_{l+1} - W_{l+1}^T F], l from 0, and its size: numpy."""
    moves, shifts = oracles.velocity(flow)
    here, above = flow.feedback[l], flow.feedback[l + 1]
    own = moves[l] @ flow.weights[l].T + np.outer(shifts[l], flow.biases[l])
    cross = (np.linalg.pinv(above) @ here).T @ moves[l + 1]
    return own + own.T - cross - cross.T, np.abs(own).max()


def free(flow, l):
    """An orthonormal basis (n_l, d) of the u above."""
    here, above = flow.feedback[l], flow.feedback[l + 1]
    return null_space(here - above @ np.linalg.pinv(above) @ here, rcond=1e-10)


@pytest.mark.parametrize("widths", [(4, 5, 2, 3), (4, 6, 5, 2, 4)])
def test_a_matrix_law_survives_on_a_subspace(widths, measured):
    """n_l - (n_L - n_{l+1}) dimensions; controls: the whole matrix, and another subspace."""
    flow = random_flow(0, widths, activation="linear", rule=DFA, bias=True)
    l = len(widths) - 4  # the layer below the narrow one, from 0
    basis = free(flow, l)
    assert basis.shape[1] == widths[l + 1] - (widths[-1] - widths[l + 2])
    rate, size = rate_of_the_matrix(flow, l)
    name = f"linear DFA {widths}, layer {l + 1}"
    kept = np.abs(basis.T @ rate @ basis).max() / size
    measured(6, f"{name} below a narrow one: subspace law by hand", kept, below=1e-12)
    measured(6, f"{name}: the whole matrix", np.abs(rate).max() / size, above=1e-2)
    other = np.linalg.qr(np.random.default_rng(1).normal(size=basis.shape))[0]
    broken = np.abs(other.T @ rate @ other).max() / size
    measured(6, f"{name}: another subspace", broken, above=1e-2)

    problem = to_problem(flow)
    law = problem.rule.laws(problem.weights)["subspace-balance"]
    assert law.layers == (l + 1,)
    measured(6, f"{name}: subspace-balance", max(relative_rate(law, problem)), below=1e-12)
    value = law(problem.weights, problem.feedback, problem.data)[0]
    weights, beta = flow.weights, flow.biases[l]
    cross = (np.linalg.pinv(flow.feedback[l + 1]) @ flow.feedback[l]).T @ weights[l + 1]
    whole = weights[l] @ weights[l].T + np.outer(beta, beta) - cross - cross.T
    onto = basis @ basis.T
    np.testing.assert_allclose(value, onto @ whole @ onto, rtol=1e-10, atol=1e-12)


def test_layers_below_a_narrow_one_keep_theirs():
    """(4, 5, 6, 2, 3): layer 1 has n_2 = 6 >= 3 whatever is narrow above; layer 2 has the subspace;
    a layer too narrow to have one, (4, 1, 2, 3), has nothing."""
    problem = to_problem(random_flow(1, (4, 5, 6, 2, 3), activation="linear", rule=DFA))
    laws = problem.rule.laws(problem.weights)
    assert {name: law.layers for name, law in laws.items()} == {
        "layer-balance": (1, 3), "neuron-balance": (1, 3), "matrix-balance": (1, 3),
        "subspace-balance": (2,),
    }  # fmt: skip
    for name in ("matrix-balance", "subspace-balance"):
        assert max(relative_rate(laws[name], problem)) < 1e-12
    wrong = Balance(FeedbackPotential(), "layer-balance", (2,))
    assert min(relative_rate(wrong, problem)) > 5e-3
    small = to_problem(random_flow(1, (4, 1, 2, 3), activation="linear", rule=DFA))
    assert "subspace-balance" not in small.rule.laws(small.weights)
    relu = to_problem(random_flow(1, (4, 5, 2, 3), activation="relu", rule=DFA))
    assert "subspace-balance" not in relu.rule.laws(relu.weights)
    assert min(relative_rate(SubspaceBalance((1,)), relu)) > 5e-3


def test_the_subspace_is_that_of_any_feedback():
    """D_1 = D_2 M: everything is heard, and the law is the whole matrix's."""
    flow = random_flow(2, (4, 5, 2, 3), activation="linear", rule=DFA)
    problem = to_problem(flow)
    tied = problem.feedback.matrices[1] @ jnp.asarray(flow.weights[1])
    feedback = type(problem.feedback)((tied, problem.feedback.matrices[1]), "direct")
    same = FlowProblem(problem.rule, problem.weights, feedback, problem.data)
    whole = Balance(FeedbackPotential(), "matrix-balance", (1,))
    point = (same.weights, same.feedback, same.data)
    np.testing.assert_allclose(SubspaceBalance((1,))(*point)[0], whole(*point)[0], atol=1e-12)
    assert max(relative_rate(whole, same)) < 1e-12


@pytest.mark.parametrize("kind", [DFA, "sign-error-direct-feedback"])
def test_it_is_kept_over_a_flow_and_found_by_the_count(kind):
    """Drift at the solver's tolerance; in (2, 3, 1, 2) a symmetric 2 x 2 matrix, of which discovery
    counts three laws that the balances alone would leave unexplained."""
    rule = RULES[kind]()
    problem = to_problem(random_flow(3, (2, 3, 1, 2), activation="linear", rule=DFA))
    problem = FlowProblem(rule, problem.weights, problem.feedback, problem.data)
    law = rule.laws(problem.weights)["subspace-balance"]
    if kind == DFA:
        flow = integrate(problem, jnp.array([0.0, 2.0]), {"law": law}, Numerics(rtol=1e-10))
        values = np.asarray(flow.records["law"][0])
        assert np.abs(values[1] - values[0]).max() < 1e-8 * np.abs(values).max()
        moved = flow.weights.weights[0] - problem.weights.weights[0]
        assert float(jnp.abs(moved).max()) > 0.1
    rate = law_rate(law, rule, problem.weights, problem.feedback, problem.data)
    assert float(np.max(rate.relative)) < 1e-12
    if kind != DFA:
        return
    found = discover(rule, problem.weights, problem.feedback, degree=None)
    known = {entry.name: entry for entry in found.known}
    assert known["subspace-balance"].kept and known["subspace-balance"].independent == 3
    assert found.independent >= found.explained >= 3
