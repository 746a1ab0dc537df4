"""Exact flows that slide, against solutions by hand.

One hidden ReLU unit with a frozen read-out f = a and feedback 1: delta_mu = gate_mu (a_mu - y_mu).
Samples 1..k are unit vectors x_mu = e_mu, so h_mu = w_mu; the last is x = (c_1, ..., c_k, s). With
y_mu < 0 the first samples pull w_mu down, and the last one, still below its target, pulls it up:
w_mu comes to 0 and stays, with averaged delta -c_mu delta_last. What is left is the equation
v' = -s (s v - y) of the last weight, an exponential. Where w_mu < 0 at the start, c_mu = 0: nothing
moves such a weight, and flows of one shape and program have one, two or three that may slide.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import brentq

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import Exact, FlowProblem, Numerics, integrate
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import AbstractObservable
from faflow.rules import AbstractLayerwiseRule, AbstractWeightRule
from faflow.tasks import make_data


class FrozenReadout(AbstractLayerwiseRule):
    """A user's rule: the error itself to the hidden layer, W_2 fixed."""

    equation = "delta_1 = phi'(h_1) . e, delta_2 = 0"
    source = "this test"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        return (weights.activation.derivative(trace.pre[0]) * error, jnp.zeros_like(error))

    def laws(self, weights):
        return {}


class FirstWeights(AbstractObservable):
    label: str = "W_1"
    axes: tuple[str, ...] = ("out", "in")

    def __call__(self, weights, feedback, data):
        return weights.weights[0]


C, S, LOW, HIGH = np.array([0.5, 0.3, 0.2]), 0.8, -1.0, 1.2
SLOTS = 2  # pairs that may slide at once


def sliding_problem(*start):
    k = len(start) - 1
    c = C[:k] * (np.array(start[:k]) >= 0)
    inputs = np.vstack([np.eye(k, k + 1), np.append(c, S)])
    targets = np.append(np.full(k, LOW), HIGH)
    weights = MLP((jnp.asarray([start]), jnp.ones((1, 1))), (), ACTIVATIONS["relu"]())
    return FlowProblem(FrozenReadout(), weights, Feedback(), make_data(inputs, targets))


def run(problem, ts, **options):
    numerics = Numerics(
        solver="dopri8", rtol=1e-13, atol=1e-13, kinks="exact", exact=Exact(SLOTS, events=4),
        **options,
    )  # fmt: skip
    return integrate(problem, jnp.asarray(ts), {"w": FirstWeights()}, numerics, throw=False)


def last_weight(v, t):
    return HIGH / S + (v - HIGH / S) * np.exp(-(S**2) * t)


def test_two_weights_reach_the_surface_and_slide():
    start = np.array([0.3, 0.2])
    rows = np.array([[1.0, 0.0], [C[0], S]])
    matrix, drive = rows.T @ rows, rows.T @ np.array([LOW, HIGH])
    rest = np.linalg.solve(matrix, drive)

    def before(t):
        return rest + expm(-matrix * t) @ (start - rest)

    hit = brentq(lambda t: before(t)[0], 0.0, 1.0, xtol=1e-15)
    ts = np.array([0.0, hit / 2, hit + 0.1, hit + 1.0, hit + 5.0])
    solution = run(sliding_problem(start[0], -0.4, -0.3, start[1]), ts)
    w = np.asarray(solution.records["w"])[:, 0]
    np.testing.assert_array_equal(w[:, 1:3], np.tile([-0.4, -0.3], (5, 1)))
    w = w[:, [0, 3]]
    expected = [start, before(hit / 2)]
    expected += [np.array([0.0, last_weight(before(hit)[1], t - hit)]) for t in ts[2:]]
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(solution.events.log.time[0], hit, atol=1e-12)
    assert int(solution.outcome) == Outcome.COMPLETED
    events = solution.events
    assert int(events.counts.landed) == 1 and int(events.log.became[0]) == 0
    np.testing.assert_array_equal(events.sliding_at[:, 0], [0, 0, 1, 1, 1])
    # The averaged error of sample 1, gate (0 - y_1), balances c times that of the last one.
    gate = C[0] * (HIGH - S * w[2:, 1]) / -LOW
    np.testing.assert_allclose(events.gates_at[2:, 0], gate, atol=1e-11)


def test_a_start_on_two_surfaces_at_once():
    """Codimension two: w_1 = w_2 = 0 at t = 0, both slide from the first decision on."""
    ts = np.array([0.0, 0.5, 2.0, 4.0, 8.0])
    solution = run(sliding_problem(0.0, 0.0, -0.4, 0.2), ts)
    w = np.asarray(solution.records["w"])[:, 0]
    expected = np.stack([0 * ts, 0 * ts, np.full(5, -0.4), last_weight(0.2, ts)], axis=1)
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-12)
    assert int(solution.events.counts.most_sliding) == SLOTS


def test_more_sliding_pairs_than_slots_is_an_outcome():
    solution = run(sliding_problem(0.0, 0.0, 0.0, 0.2), np.linspace(0.0, 1.0, 5))
    assert int(solution.outcome) == Outcome.SLIDING_OVERFLOW


class Still(AbstractWeightRule):
    equation = "W' = 0"
    source = "this test"
    form = "none"

    def vector_field(self, weights, feedback, data):
        return jax.tree.map(jnp.zeros_like, weights)

    def laws(self, weights):
        return {}


@pytest.mark.parametrize("name", ["tanh", "relu-squared", "linear"])
def test_other_activations_are_refused(name):
    problem = sliding_problem(0.3, 0.2)
    network = MLP(problem.weights.weights, (), ACTIVATIONS[name]())
    problem = eqx.tree_at(lambda p: p.weights, problem, network)
    with pytest.raises(ValueError, match="piecewise-linear"):
        run(problem, [0.0, 1.0])


def test_rules_without_deltas_fixed_steps_and_shallow_nets_are_refused():
    problem = sliding_problem(0.3, 0.2)
    with pytest.raises(ValueError, match="layerwise rules, but the rule is Still"):
        run(FlowProblem(Still(), *list(vars(problem).values())[1:]), [0.0, 1.0])
    with pytest.raises(ValueError, match="chooses its steps"):
        run(problem, [0.0, 1.0], step=0.1)
    network = MLP(problem.weights.weights[:1], (), problem.weights.activation)
    with pytest.raises(ValueError, match="hidden layer"):
        run(eqx.tree_at(lambda p: p.weights, problem, network), [0.0, 1.0])
