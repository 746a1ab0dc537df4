"""Exact flows where surfaces coincide: inputs that are multiples of each other, zero samples, units
that come to h = 0 through weights that are zero.

Oracles: one neuron event by event (`one_neuron`), and the discrete rule (`random_flows`). Problems
of one shape and rule share a program.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_neuron import Neuron, event_by_event
from random_flows import (
    COINCIDING,
    KINDS,
    coarse_runs,
    distance,
    euler,
    exact_numerics,
    judge,
    random_flow,
)

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, integrate
from faflow.flow.piecewise.decisions.ties import Surfaces
from faflow.networks import ACTIVATIONS, MLP
from faflow.networks.activations import LeakyReLU
from faflow.rules import DirectFeedbackAlignment, FeedbackAlignment, Gradient
from faflow.tasks import make_data


def problem_of(rule, weights, feedback, inputs, targets, slope=0.0, reduction="sum"):
    activation = LeakyReLU(slope) if slope else ACTIVATIONS["relu"]()
    matrices = tuple(jnp.asarray(f, float) for f in feedback)
    weights = tuple(jnp.asarray(w, float) for w in weights)
    data = make_data(
        np.asarray(inputs, float), np.reshape(targets, (len(inputs), -1)), "squared", reduction
    )
    return FlowProblem(rule, MLP(weights, (), activation), Feedback(matrices, rule.form), data)


def run(problem, t_end, **options):
    ts = np.array([0.0, 0.075, 1.0]) * t_end
    return integrate(problem, ts, {}, exact_numerics(**options), throw=False)


def loss_of(problem, weights):
    return float(_loss(problem.data, weights))


@eqx.filter_jit
def _loss(data, weights):
    return data.value(weights(data.inputs))


# ---- one neuron, event by event -----------------------------------------------------------------

# Two opposite inputs and a sample that is 0; three on a line; duplicates; multiples of all signs.
LINES = {
    "opposite": [[1, 0], [-1, 0], [0.5, 1], [0, 0]],
    "three": [[1, 0], [-1, 0], [0.5, 1], [2, 0]],
    "duplicates": [[1, 0], [1, 0], [0.5, 1], [0, 0]],
    "multiples": [[1, 0], [-2, 0], [-0.5, 1], [-1, 0]],
}
STARTS = [  # targets; w and v
    ([-1, 0.2, 2, 0], [0.2, 0.3, 1]),
    ([1, -0.5, 2, -1], [-0.2, 0.5, 1.2]),
    ([2, 1.5, 1.5, 1], [0.3, 0.5, 0.7]),
]


@pytest.mark.parametrize(
    ("feedback", "slope", "slides"),
    [
        (1.0, 0.0, 4),
        pytest.param(None, 0.0, 4, marks=pytest.mark.slow),
        (1.0, 2.0, 1),
    ],
)
def test_one_neuron_against_dop853_event_by_event(feedback, slope, slides):
    landed = 0
    for inputs in LINES.values():
        for targets, (*w, v) in STARTS:
            neuron = Neuron(np.array(inputs, float), np.array(targets, float), feedback, slope)
            z, events = event_by_event(neuron, np.array([*w, v]), 4.0)
            rule = Gradient() if feedback is None else FeedbackAlignment()
            back = [] if feedback is None else [[[feedback]]]
            problem = problem_of(rule, [[w], [[v]]], back, inputs, targets, slope)
            solution = run(problem, 4.0, tol=1e-11, slots=4, events=24)
            case = (inputs, targets)
            assert int(solution.outcome) == Outcome.COMPLETED, case
            mine = np.concatenate([np.ravel(part) for part in solution.weights.weights])
            np.testing.assert_allclose(mine, z, atol=1e-8, err_msg=str(case))
            log = solution.events.log
            changes = list(zip(log.time, log.sample, log.became, strict=True))
            firsts = [first for first, _ in neuron.surfaces]
            times = [float(time) for time, sample, _ in changes if int(sample) in firsts]
            times = times[: sum(np.isfinite(times))]
            np.testing.assert_allclose(times, [t for t, _, _ in events], atol=1e-7)
            landed += sum(what == "landed" for _, _, what in events)
    assert landed >= slides


def test_opposite_inputs_slide_and_leave_with_gates_s_and_one_minus_s():
    """The values reported: lands at t = 0.4175655 and leaves at 0.7828835."""
    targets, (*w, v) = STARTS[0]
    problem = problem_of(
        FeedbackAlignment(), [[w], [[v]]], [[[1.0]]], LINES["opposite"], targets
    )  # fmt: skip
    solution = run(problem, 8.0, tol=1e-11, slots=4, events=24)  # saves at 0, 0.6 and 8
    first, second = (np.asarray(part).ravel() for part in solution.weights.weights)
    np.testing.assert_allclose(first, [-0.1174640, 1.2334258], atol=1e-7)
    np.testing.assert_allclose(second, [1.7025685], atol=1e-7)
    times = np.asarray(solution.events.log.time)[:4]
    np.testing.assert_allclose(times, [0.4175655] * 2 + [0.7828835] * 2, atol=1e-7)
    assert float(solution.ts[1]) == 0.6 and int(solution.outcome) == Outcome.COMPLETED
    gates = np.asarray(solution.events.gates_at)[1]
    assert 0 < gates[0] < 1 and gates[0] + gates[1] == pytest.approx(1.0, abs=1e-12)


# ---- a unit at h = 0 through weights that are zero ----------------------------------------------


def test_a_unit_that_would_rest_at_zero_weights_is_not_switched_on_unsaid():
    """The unit below dies at t = 1/2 and with it all that reaches the second layer, but for a
    weight that is 0: the unit there may stay off, as with the discrete rule, or open."""
    problem = problem_of(
        DirectFeedbackAlignment(), [[[1], [0.5]], [[0, -1]], [[1]]], [[[0, -1]], [[1]]], [[1]], [1]
    )
    solution = run(problem, 3.0, slots=2)
    assert int(solution.outcome) == Outcome.NOT_UNIQUE
    fork = solution.events.fork
    assert float(fork.time) == pytest.approx(0.5, abs=1e-9)
    assert (int(fork.layer), int(fork.unit)) == (1, 0)
    assert loss_of(problem, euler(problem, 1e-3, 3.0)) == 0.5  # it stays off


@pytest.mark.slow
def test_the_other_branch_is_the_discrete_rules():
    weights = [[[1], [0.5]], [[0.5, 0], [0, -1]], [[0.2, 0.5]]]
    feedback = [[[0.3, -1], [0, 0]], [[1, 1]]]
    problem = problem_of(FeedbackAlignment(), weights, feedback, [[1]], [1])
    solution = run(problem, 3.0, slots=2, branch="other")
    assert int(solution.events.counts.forks) == 1
    assert float(solution.weights.weights[1][1, 0]) == 0.0
    for eta in (1e-3, 1e-4):
        assert distance(euler(problem, eta, 3.0), solution.weights) < eta


# ---- nets, against the discrete rule ------------------------------------------------------------


def mirrored(rule, slope=0.0):
    """Six Gaussian inputs and their negatives, targets at random: the case reported."""
    rng = np.random.default_rng(100)
    inputs, targets = rng.normal(size=(6, 3)), rng.normal(size=6)
    first, second = rng.normal(size=(6, 3)) / 1.7, rng.normal(size=(1, 6)) / 2.4
    back = rng.normal(size=(1, 6)) / 2.4
    inputs = np.concatenate([inputs, -inputs])
    targets = np.concatenate([targets, rng.normal(size=6)])
    feedback = [] if rule.form == "none" else [back]
    return problem_of(rule, [first, second], feedback, inputs, targets, slope, "mean")


def agrees(problem, t_end=20.0, runs=None):
    solution = run(problem, t_end, slots=16)
    assert int(solution.outcome) == Outcome.COMPLETED
    verdict = judge(problem, solution.weights, t_end, runs)
    assert verdict.agrees, verdict
    return solution


def all_agree(problems):
    """Problems of one kind."""
    runs = coarse_runs(problems)
    return [agrees(problem, runs=each) for problem, each in zip(problems, runs, strict=True)]


@pytest.mark.parametrize(
    ("rule", "loss", "kinds"),
    [
        (
            FeedbackAlignment(),
            0.21388,
            ("fa-mirrored", "fa-duplicates", "fa-scaled", "fa-mixed-zeros"),
        ),
        pytest.param(Gradient(), 0.16190, ("gradient-mirrored",), marks=pytest.mark.slow),
    ],
)
def test_nets_whose_surfaces_coincide_agree_with_the_discrete_rule(rule, loss, kinds):
    """`benchmarks/relu_random.py` asks the same of 100 problems."""
    problem = mirrored(rule)
    solution = agrees(problem, 10.0)
    assert loss_of(problem, solution.weights) == pytest.approx(loss, abs=2e-5)
    landed = 0
    for solution in all_agree(
        [random_flow(COINCIDING[kind], seed) for kind in kinds for seed in range(3)]
    ):
        landed += int(solution.events.counts.landed)
    assert landed >= 10


@pytest.mark.parametrize("slope", [2.0, pytest.param(1.5, marks=pytest.mark.slow)])
def test_slopes_above_one_turn_round_what_attracts(slope):
    solution = agrees(mirrored(FeedbackAlignment(), slope), 10.0)
    if slope == 2.0:
        assert int(solution.events.counts.landed) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fa-deep-mixed", "dfa-deep-steep"])
def test_deep_nets_whose_surfaces_coincide_agree_with_the_discrete_rule(kind):
    landed = 0
    for seed in range(4):
        landed += int(agrees(random_flow(COINCIDING[kind], seed)).events.counts.landed)
    assert landed >= 3


@pytest.mark.slow
def test_what_is_above_a_single_leaky_unit_crosses_with_it():
    """Four units of the first layer rest on weights and feedback that are 0: with the fifth, all
    that is above it passes 0. The shape is that of "dfa-deep-steep"."""
    crossed = 0
    for seed in range(3):
        problem = random_flow(COINCIDING["dfa-deep-steep"], seed)
        first, back = problem.weights.weights[0], problem.feedback.matrices[0]
        problem = eqx.tree_at(
            lambda p: (p.weights.weights[0], p.feedback.matrices[0]),
            problem,
            (first.at[1:].set(0.0), back.at[:, 1:].set(0.0)),
        )
        crossed += int(agrees(problem).events.counts.crossed)
    assert crossed >= 12


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 15])
def test_pairs_that_come_to_zero_through_a_unit_below(seed):
    """5: a unit closes, and above it two pairs come to slide with gates that are closed. 15: a
    pair leaves that held two samples on one surface above it."""
    assert int(agrees(random_flow(KINDS["dfa-deep"], seed)).events.counts.landed) >= 3


def test_pairs_are_one_where_two_groupings_say_so():
    leader = np.array([[0, 0, 0, 3, 3, 5], [0, 0, 2, 4, 4, 5]], np.int32)
    opposite = np.array([[0, 1, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0]], bool)
    one = jax.jit(Surfaces.throughout)(Surfaces(leader, opposite))
    np.testing.assert_array_equal(one.leader, [0, 0, 2, 3, 3, 5])
    np.testing.assert_array_equal(one.opposite, [0, 1, 0, 0, 1, 0])


def test_a_sample_that_is_zero_decides_nothing():
    """XOR in {0, 1} without biases."""
    inputs, targets, problems = [[0, 0], [0, 1], [1, 0], [1, 1]], [1, -1, -1, 1], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=(8, 2)), rng.normal(size=(1, 8)) / 2]
        problems.append(problem_of(Gradient(), weights, [], inputs, targets, reduction="mean"))
    all_agree(problems)
