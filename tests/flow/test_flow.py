"""How flows behave: outcomes, records at save times, counts, vmap, no retracing."""

from functools import cache
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from one_weight import scalar

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import FlowError, FlowProblem, Numerics, Stops, integrate, solve
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import AbstractObservable, Loss
from faflow.rules import AbstractWeightRule, Gradient
from faflow.tasks import make_data


class FirstWeights(AbstractObservable):
    label: str = "W_1"
    axes: tuple[str, ...] = ("out", "in")

    def __call__(self, weights, feedback, data):
        return weights.weights[0]


OBSERVABLES = {"loss": Loss(), "w": FirstWeights()}


DECAY = {"b": -1.0}
WALL = {"a": 1.0, "wall": 2.0}  # w' = 1 up to w = 2, undefined beyond


def outcome(solution):
    return Outcome(int(solution.outcome))


TIMES = np.linspace(0.0, 2.0, 11)


@pytest.mark.parametrize("power", [2, 3, 6])
def test_blow_up_in_finite_time_keeps_the_trajectory(power):
    """w' = w^p, w(0) = 1: w = (1 - (p-1) t)^{-1/(p-1)} escapes at t = 1/(p-1)."""
    problem, escape = scalar(c=1.0, power=power), 1 / (power - 1)
    ts = jnp.linspace(0.0, 2.1 * escape, 11)  # the escape lies between slots 4 and 5
    solution = integrate(problem, ts, OBSERVABLES, throw=False)
    assert outcome(solution) is Outcome.BLOW_UP and outcome(solution).early
    assert float(solution.t_final) == pytest.approx(escape, rel=1e-6)
    before = np.arange(11) < 5  # slot 5, which it was heading for, holds the end
    w, t = np.asarray(solution.records["w"])[:, 0, 0], np.asarray(ts)
    exact = (1 - (power - 1) * t[before]) ** (-1 / (power - 1))
    np.testing.assert_allclose(w[before], exact, rtol=1e-6)
    assert np.all(np.isnan(w[6:])) and np.all(np.isnan(solution.ts[6:]))
    np.testing.assert_array_equal(solution.reached, np.arange(11) <= 5)
    with pytest.raises(FlowError) as caught:
        integrate(problem, ts, OBSERVABLES)
    np.testing.assert_array_equal(caught.value.solution.reached, solution.reached)


def test_growth_without_escape_completes():
    """Control: w' = w reaches e^2 without being taken for a blow-up."""
    solution = integrate(scalar(b=1.0), TIMES, OBSERVABLES)
    assert outcome(solution) is Outcome.COMPLETED and not outcome(solution).early
    np.testing.assert_allclose(solution.records["w"][:, 0, 0], np.exp(TIMES), rtol=1e-8)
    assert bool(np.all(solution.reached)) and float(solution.t_final) == 2.0


def test_max_steps():
    solution = integrate(scalar(**DECAY), TIMES, OBSERVABLES, Numerics(max_steps=7), throw=False)
    assert outcome(solution) is Outcome.MAX_STEPS
    assert int(solution.counts.accepted + solution.counts.rejected) == 7
    reached = np.asarray(solution.reached)
    assert 0 < reached.sum() < 11
    t, w = np.asarray(solution.ts)[reached], np.asarray(solution.records["w"])[reached, 0, 0]
    np.testing.assert_allclose(w, np.exp(-t), rtol=1e-7)
    assert t[-1] == float(solution.t_final)


def stopped(ts, **stops):
    numerics = Numerics(solver="dopri8", step=0.01, stops=Stops(**NEVER | stops))
    return integrate(scalar(**DECAY), ts, OBSERVABLES, numerics)


NEVER = {"loss": 0.0, "residual": 0.0, "steady": 0.0}  # one program serves all stops


def test_targets_of_loss_and_residual():
    """w' = -w, target 0: loss e^{-2t} / 2, residual e^{-t}; stopped within a step after it."""
    for stops, when in (({"loss": 0.05}, 0.5 * np.log(10.0)), ({"residual": 0.5}, np.log(2.0))):
        solution = stopped(TIMES, **stops)
        assert outcome(solution) is Outcome.TARGET_REACHED
        assert when <= float(solution.t_final) <= when + 0.0101


def test_steady_state():
    """|w'| = e^{-t} falls to 1e-3 of its peak at t = log 1000."""
    solution = stopped(10 * TIMES, steady=1e-3)
    assert outcome(solution) is Outcome.STEADY_STATE
    assert np.log(1e3) <= float(solution.t_final) + 0.02 <= np.log(1e3) + 0.04


@pytest.mark.parametrize("solver", ["tsit5", "bosh3", "dopri8", "gauss4", "auto"])
def test_a_wall_of_nan_ends_as_not_finite(solver):
    """w' = 1 up to w = 2, undefined beyond: steps into nan are rejected and shrink until t can
    resolve no smaller one, in tens of steps, not in max_steps."""
    problem = scalar(**WALL)
    solution = integrate(
        problem, TIMES, OBSERVABLES, Numerics(solver=solver, max_steps=5000), throw=False
    )
    assert outcome(solution) is Outcome.NOT_FINITE and outcome(solution).early
    assert float(solution.t_final) == pytest.approx(1.0, abs=1e-9)
    assert int(solution.counts.rejected) < 500


def test_a_wall_of_nan_before_the_power_method():
    """rkc2 looks 1.5e-8 of the weights ahead of every step: it stops as far before the wall."""
    problem = scalar(**WALL)
    numerics = Numerics(solver="rkc2", max_steps=5000)
    solution = integrate(problem, TIMES, OBSERVABLES, numerics, throw=False)
    assert outcome(solution) is Outcome.NOT_FINITE
    assert float(solution.t_final) == pytest.approx(1.0, abs=1e-7)


def test_a_wall_of_nan_at_fixed_steps_and_in_the_exact_flow():
    """The same at steps of 0.03; and a rule whose deltas are nan beyond W_2 = 1.2, exactly."""
    problem = scalar(**WALL)
    fixed = integrate(problem, TIMES, OBSERVABLES, Numerics(step=0.03), throw=False)
    assert outcome(fixed) is Outcome.NOT_FINITE
    assert 0.95 < float(fixed.t_final) <= 1.0

    class Wall(Gradient):
        def deltas(self, weights, feedback, trace, error):
            lost = jnp.where(weights.weights[1][0, 0] > 1.2, jnp.nan, 1.0)
            return tuple(lost * delta for delta in super().deltas(weights, feedback, trace, error))

    net = MLP((jnp.ones((1, 1)), jnp.ones((1, 1))), (), ACTIVATIONS["relu"]())
    walled = FlowProblem(Wall(), net, Feedback(), make_data([[1.0]], [[2.0]]))
    exact = integrate(walled, TIMES, {}, Numerics(kinks="exact"), throw=False)
    assert outcome(exact) is Outcome.NOT_FINITE
    # W_1 = W_2 = w, w' = w (2 - w^2): w^2 = 2 / (1 + e^{-4t}).
    assert float(exact.t_final) == pytest.approx(0.25 * np.log(1.44 / 0.56), abs=1e-8)
    assert float(exact.weights.weights[1][0, 0]) == pytest.approx(1.2, abs=1e-8)


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
def test_a_step_into_overflow_is_rejected_and_shrunk(beyond):
    """w' = 50 (1 - w) towards 1, undefined from 1.001 on: steps that are too long must recover."""
    problem = scalar(0.0, a=50.0, b=-50.0, wall=1.001, beyond=beyond)
    solution = integrate(problem, TIMES, OBSERVABLES, Numerics(max_steps=5000), throw=False)
    assert outcome(solution) is Outcome.COMPLETED


def test_a_first_step_to_infinity_is_rejected_and_shrunk():
    """||W'|| = 4e5 and degree 2 twice: the first step overflows to inf (not nan), where error and
    tolerance are both infinite. The controller has to get away from t = 0."""
    flow = oracles.random_flow(0, (3, 5, 4, 1), activation="quadratic", scale=2.0)
    numerics = Numerics(max_steps=200)
    solution = integrate(oracles.to_problem(flow), TIMES, {}, numerics, throw=False)
    assert int(solution.counts.accepted) > 50
    assert float(solution.t_final) > 0


def test_gauss_without_stages_does_not_complete():
    """A slope that jumps where the flow arrives: no stages, so no steps, and no silent answer."""
    problem = scalar(0.5, a=1.3, wall=0.0, beyond=-1.0)
    numerics = Numerics(solver="implicit-midpoint", step=0.2, max_steps=1000)
    solution = integrate(problem, TIMES[::5], OBSERVABLES, numerics, throw=False)
    assert outcome(solution) is Outcome.SOLVER_FAILED


FLOW = oracles.random_flow(0, (3, 4, 3, 2), activation="tanh", bias=True, t1=3.0)


EVEN_AND_GEOMETRIC = np.unique([*np.linspace(0.0, 3.0, 8), *np.geomspace(1e-3, 3.0, 8)[:-1]])


@cache
def recorded(solver, rtol):
    numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100)
    return integrate(oracles.to_problem(FLOW), EVEN_AND_GEOMETRIC, OBSERVABLES, numerics)


@cache
def states_at(ts):
    return oracles.trajectory(FLOW, np.array(ts))


@pytest.mark.parametrize(
    ("solver", "rtol"), [("tsit5", 1e-11), ("dopri8", 1e-11), ("kvaerno5", 1e-8)]
)
def test_records_are_exact_at_the_save_times(solver, rtol):
    """Not interpolated: as exact as a step at 2e-10, also for methods with poor dense output; at
    times of even and of geometric spacing, in one flow (its steps are far shorter)."""
    ts = EVEN_AND_GEOMETRIC
    assert ts.size == 15
    states, solution = states_at(tuple(ts)), recorded(solver, rtol)
    assert int(solution.counts.accepted) > 4 * ts.size
    np.testing.assert_array_equal(solution.ts, ts)
    first = np.stack([FLOW.at(state).weights[0] for state in states])
    np.testing.assert_allclose(solution.records["w"], first, atol=5e-10)
    losses = [0.5 * (oracles.residual(FLOW.at(state)) ** 2).sum() for state in states]
    np.testing.assert_allclose(solution.records["loss"], losses, rtol=1e-8)
    # The last record and the final weights are the same state.
    np.testing.assert_array_equal(solution.records["w"][-1], solution.weights.weights[0])


def test_counts_grow_along_the_saves_and_follow_the_tolerance():
    problem, ts = oracles.to_problem(FLOW), np.linspace(0.0, 2.0, 15)  # the program of above
    loose, tight = (
        integrate(problem, ts, OBSERVABLES, Numerics(rtol=rtol, atol=rtol / 100))
        for rtol in (1e-5, 1e-10)
    )
    assert int(tight.counts.accepted) > int(loose.counts.accepted) >= 10
    for solution in (loose, tight):
        evaluations = np.asarray(solution.counts_at.evaluations)
        assert np.all(np.diff(evaluations) > 0) and evaluations[-1] == int(
            solution.counts.evaluations
        )
        tries = int(solution.counts.accepted + solution.counts.rejected)
        assert (
            evaluations[-1] == 6 * tries + 3
        )  # tsit5: six a try; FSAL's first, the first step's two


def test_tolerances_times_and_data_do_not_retrace():
    traces, refused = [], []

    def met(w):
        traces.append(1)
        if refused:  # what is traced need not be compiled
            raise ZeroDivisionError

    problem = scalar(met=met, **DECAY)
    integrate(problem, TIMES, OBSERVABLES, Numerics(rtol=1e-6))
    before = len(traces)
    assert before > 0
    for rtol, t1, start, steps in (
        (1e-8, 2.0, 1.0, 99),
        (1e-6, 5.0, 1.0, 9999),
        (1e-6, 2.0, 7.0, 100),
    ):
        moved = eqx.tree_at(lambda p: p.weights.weights[0], problem, jnp.full((1, 1), start))
        numerics = Numerics(rtol=rtol, atol=rtol / 10, max_steps=steps)
        solution = integrate(moved, t1 / 2.0 * TIMES, OBSERVABLES, numerics)
        assert float(solution.weights.weights[0][0, 0]) == pytest.approx(
            start * np.exp(-t1), rel=1e-3
        )
    assert len(traces) == before
    refused.append(1)
    with pytest.raises(ZeroDivisionError):  # control: another shape does
        integrate(problem, TIMES[:5], OBSERVABLES, Numerics(rtol=1e-6))
    assert len(traces) > before


def test_vmap_over_seeds_with_different_outcomes():
    """w' = w^2 from 0.1, 1, -1 over t = 2: the middle one escapes, the others match their forms."""
    starts = np.array([0.1, 1.0, -1.0])

    def one(start):
        return solve(scalar(start, c=1.0), jnp.asarray(TIMES), OBSERVABLES, Numerics())

    solution = jax.jit(jax.vmap(one))(starts)
    assert [Outcome(int(code)) for code in solution.outcome] == [
        Outcome.COMPLETED, Outcome.BLOW_UP, Outcome.COMPLETED,
    ]  # fmt: skip
    for i in (0, 2):
        exact = starts[i] / (1 - starts[i] * TIMES)
        np.testing.assert_allclose(solution.records["w"][i, :, 0, 0], exact, rtol=1e-7)
    assert np.asarray(solution.reached).sum(axis=1).tolist() == [11, 6, 11]
    assert "3 flows" in str(solution)


def test_kinks_are_counted_exactly():
    """One ReLU unit on samples x = (1, -1, 2) under a rule that makes w = cos(pi t): each of the
    three pre-activations w x changes sign at t = 1/2, 3/2, ... and nowhere else."""

    class Swing(AbstractWeightRule):
        frequency: float
        equation: ClassVar[str] = "(w, v)' = omega (-v, w)"
        source: ClassVar[str] = "tests"
        form: ClassVar[str] = "none"

        def vector_field(self, weights, feedback, data):
            w, v = weights.weights
            moves = (-self.frequency * v, self.frequency * w)
            return eqx.tree_at(lambda net: net.weights, weights, moves)

        def laws(self, weights):
            return {}

    net = MLP((jnp.ones((1, 1)), jnp.zeros((1, 1))), (), ACTIVATIONS["relu"]())
    data = make_data([[1.0], [-1.0], [2.0]], [[0.0]] * 3)
    for t1, crossings in ((0.4, 0), (0.6, 1), (4.2, 4), (12.3, 12)):
        problem = FlowProblem(Swing(float(np.pi)), net, Feedback(), data)
        solution = integrate(problem, jnp.array([0.0, t1]), {}, Numerics(rtol=1e-8))
        assert solution.kinks.changes.tolist() == [3 * crossings]
        assert int(solution.kinks.busiest) == crossings
        assert int(solution.kinks.chattering) == (3 if crossings >= 10 else 0)
    assert recorded("tsit5", 1e-11).kinks is None  # control: tanh has none


@pytest.mark.parametrize(
    "ts", [[0.0], [0.0, 0.0], [1.0, 0.5], [0.0, np.inf], [0.0, np.nan], [[0.0, 1.0]]]
)
def test_bad_times_are_refused(ts):
    error = (ValueError, TypeError) if np.ndim(ts) != 1 else ValueError
    with pytest.raises(error):
        integrate(scalar(**DECAY), jnp.array(ts), OBSERVABLES)


def test_times_may_start_anywhere():
    solution = integrate(scalar(**DECAY), 3.0 + TIMES, OBSERVABLES)
    np.testing.assert_allclose(solution.records["w"][:, 0, 0], np.exp(-TIMES), rtol=1e-8)


def test_tail_mode_keeps_relative_accuracy_down_to_rounding():
    """Gradient flow of one linear weight, target 1: residual e^{-t} to 1 % down to 1e-12; without
    tail the steps grow to the stability limit and the residual is anything below the tolerance."""
    problem = eqx.tree_at(lambda p: p.data.targets, scalar(0.0, a=1.0, b=-1.0), np.ones((1, 1)))
    ts, errors = 15 * TIMES, []
    for tail in (True, False):
        numerics = Numerics(tail=tail, rtol=1e-6, atol=1e-8)
        residual = np.sqrt(
            2 * np.asarray(integrate(problem, ts, OBSERVABLES, numerics).records["loss"])
        )
        errors.append(np.abs(residual * np.exp(ts) - 1)[np.exp(-ts) > 1e-12].max())
    assert errors[0] < 1e-2 < 1 < errors[1], errors
