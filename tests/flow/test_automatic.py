"""`solver = "auto"`: when it changes to the BDF, that two legs make one flow, when it stays."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import Flow, FlowProblem, Numerics, Stops, estimate, integrate, solve
from faflow.flow.automatic import demand_of, why_unwatched
from faflow.flow.effort import is_dear, runge_kutta_share
from faflow.flow.loop.multistep import flat_field
from faflow.flow.loop.slices import in_slices
from faflow.flow.loop.tolerance import settled
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import AbstractObservable
from faflow.rules import AbstractWeightRule, FeedbackAlignment, WeightDecay, forecast
from faflow.solvers import Demand
from faflow.tasks import make_data

RATES = np.geomspace(1e-4, 10.0, 11)
TS = np.concatenate([[0.0], np.geomspace(1e-2, 2e4, 25)])
RTOL = 1e-7


class Weights(AbstractObservable):
    label: str = "w"
    axes: tuple[str, ...] = ("out", "in")

    def __call__(self, weights, feedback, data):
        return weights.weights[0]


class Decay(AbstractWeightRule):
    """w_i' = -RATES_i w_i, w the one row of a linear network's only matrix: tsit5 needs 6e4 steps
    for it, at the limit of stability from t = 1 or so on, which their rate tells at once."""

    rates: Any
    equation: ClassVar[str] = "w' = -rates w"
    source: ClassVar[str] = "tests"
    form: ClassVar[str] = "none"

    def vector_field(self, weights, feedback, data):
        return jax.tree.map(lambda w: -self.rates[None, :] * w, weights)

    def laws(self, weights):
        return {}


def decay(rates=RATES):
    size = len(RATES)
    net = MLP((jnp.ones((1, size)),))
    return FlowProblem(
        Decay(jnp.asarray(rates)), net, Feedback(), make_data(np.eye(size), np.zeros((size, 1)))
    )


def run(problem, ts=TS, solver="auto", rtol=RTOL, loss=0.0, steady=0.0, **more):
    stops = Stops(loss=loss, steady=steady)  # always watched: one program serves all
    numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100, stops=stops, **more)
    return integrate(problem, jnp.asarray(ts, float), {"w": Weights()}, numerics, throw=False)


def outcome(solution):
    return Outcome(int(solution.outcome))


def solvers(solution):
    return [leg.solver for leg in solution.legs]


def speed(t):
    return np.linalg.norm(RATES * np.exp(-RATES * t))


def demand(early, late):
    return lambda *_: Demand(np.float64(early), np.float64(late), np.int64(15))


@pytest.fixture(scope="module")
def switched():
    return run(decay())


def test_one_flow_comes_of_two(switched):
    """Every save once, at its time, from the closed form as far as the tolerance says."""
    assert outcome(switched) is Outcome.COMPLETED and solvers(switched) == ["tsit5", "bdf"]
    assert np.all(switched.reached)
    np.testing.assert_array_equal(switched.ts, TS)
    assert float(switched.t_final) == TS[-1]
    exact = np.exp(-RATES * TS[:, None])
    errors = np.linalg.norm(np.asarray(switched.records["w"])[:, 0] - exact, axis=1)
    assert errors.max() <= 100 * RTOL * np.linalg.norm(exact[0])
    np.testing.assert_array_equal(switched.weights.weights[0], switched.records["w"][-1])
    first, then = switched.legs
    change = float(then.since)
    assert TS[1] < change < 10.0 and not np.any(change == TS)  # within the saves, on none of them
    assert int(first.steps) <= 16  # fifteen that say so, from the first on
    steps = np.asarray(switched.counts_at.accepted)
    assert np.all(np.diff(steps) >= 0) and steps[-1] == int(switched.counts.accepted)
    assert int(first.steps) + int(then.steps) == int(switched.counts.accepted)
    assert int(first.evaluations) + int(then.evaluations) == int(switched.counts.evaluations)
    iterations = np.asarray(switched.counts_at.implicit.iterations)
    assert np.all((iterations > 0) == (change < TS))
    assert "stiff" in then.reason and "bdf from t = " in str(switched)


def test_it_pays_and_without_the_watch_there_is_no_change(switched, monkeypatch):
    plain = run(decay(), solver="tsit5")
    assert plain.legs == ()
    assert 50 * int(switched.counts.evaluations) < int(plain.counts.evaluations)
    before = float(switched.legs[1].since) >= TS
    for one, two in ((switched.records["w"], plain.records["w"]), (switched.ts, plain.ts)):
        np.testing.assert_array_equal(np.asarray(one)[before], np.asarray(two)[before])
    # A tenth of the time is long enough for a change, and for thousands of steps without one.
    assert solvers(run(decay(), TS / 10)) == ["tsit5", "bdf"]
    plain = run(decay(), TS / 10, "tsit5")
    monkeypatch.setattr("faflow.flow.automatic.demand_of", demand(1e9, 1e9))
    unwatched = run(decay(), TS / 10)
    assert solvers(unwatched) == ["tsit5"]
    assert int(unwatched.counts.evaluations) == int(plain.counts.evaluations) > 10_000


def test_it_stays_where_too_little_is_left_or_nothing_is_stiff():
    """The same programs with other numbers; tsit5's solution, to the rounding of two programs."""
    for problem, ts in ((decay(), TS / 100), (decay(np.full(11, 1e-4)), TS)):
        auto, plain = (run(problem, ts, solver) for solver in ("auto", "tsit5"))
        assert solvers(auto) == ["tsit5"] and "to the end" in auto.legs[0].reason
        bare = auto._replace(legs=())
        for one, two in zip(jax.tree.leaves(bare), jax.tree.leaves(plain), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_a_stiff_flow_changes_whether_or_not_its_steps_are_at_the_limit(rtol, monkeypatch):
    """Early, within some steps; late, once they are there, if that is what is asked for."""
    early = run(decay(), rtol=rtol)
    assert solvers(early) == ["tsit5", "bdf"] and int(early.legs[0].steps) <= 16
    monkeypatch.setattr("faflow.flow.automatic.demand_of", demand(np.inf, 1000.0))
    late = run(decay(), rtol=rtol)
    assert solvers(late) == ["tsit5", "bdf"]
    assert 1.0 < float(late.legs[1].since) < 1e3 and int(late.legs[0].steps) > 50


def test_a_dear_field_is_begun_with_adams(monkeypatch):
    monkeypatch.setattr("faflow.flow.automatic.is_dear", lambda *_: True)
    monkeypatch.setattr("faflow.flow.automatic.demand_of", demand(np.inf, 1000.0))
    found = run(decay())
    first, then = found.legs
    assert solvers(found) == ["adams", "bdf"] and 0.5 < float(then.since) < 1e3
    exact = np.exp(-np.outer(TS, RATES))
    assert np.abs(np.asarray(found.records["w"])[:, 0] - exact).max() < 50 * RTOL
    assert int(first.steps) + int(then.steps) == int(found.counts.accepted)
    assert int(first.evaluations) + int(then.evaluations) == int(found.counts.evaluations)


def test_the_bdf_goes_on_from_the_past_of_adams():
    """The same flow a little further, with the slopes that Adams' methods leave and without."""
    # Programs are those of the flows above that begin with Adams' methods.
    stops, problem = Stops(loss=0.0, steady=0.0), decay()
    times = lambda t1: jnp.asarray(np.linspace(0.0, t1, len(TS)))  # noqa: E731
    adams, implicit = (
        settled(problem, Numerics(solver=name, rtol=RTOL, atol=RTOL / 100, stops=stops))
        for name in ("adams", "bdf")
    )
    # On the way, where the slopes tell much: at the limit of stability the order is 1 or 2.
    enough = Demand(np.float64(1000.0), np.float64(1000.0), np.int64(20))
    flow = Flow(problem, times(2e4), {"w": Weights()}, adams)
    _, left = in_slices(flow._replace(demand=enough))
    assert left.past is not None
    flow = flow._replace(ts=times(1.3 * float(left.t)), numerics=implicit)
    ends = [
        in_slices(flow._replace(since=left._replace(past=past)))[0] for past in (left.past, None)
    ]
    steps = [int(end.counts.accepted - left.counts.accepted) for end in ends]
    assert 0 < steps[0] < steps[1] - 4
    for end in ends:
        w = np.asarray(end.weights.weights[0])[0]
        assert np.abs(w - np.exp(-1.3 * float(left.t) * RATES)).max() < 50 * RTOL


def of_sizes(width, samples):
    net = MLP((jnp.ones((width, 64)), jnp.ones((10, width))), (), ACTIVATIONS["tanh"]())
    data = make_data(np.ones((samples, 64)), np.ones((samples, 10)))
    return FlowProblem(FeedbackAlignment(), net, Feedback(), data)


def test_what_a_step_costs():
    """By the formula of `effort`, worked out by hand. 64-100-10 on 1,800 samples: 110 units, 7,400
    weights, a field of 1 + 495 + 333 tiny ones. 64-2-10 on 4: 12 units, 148 weights."""
    large = (6 * 829 + 5 + 7400 / 150) / (2 * 829 + 10 + 7400 / 50)
    field = 1 + 12 * 4 / 400 + 148 * 4 / 40_000
    small = (6 * field + 5 + 148 / 150) / (2 * field + 10 + 148 / 50)
    np.testing.assert_allclose(runge_kutta_share(of_sizes(100, 1800)), large, rtol=1e-14)
    np.testing.assert_allclose(runge_kutta_share(of_sizes(2, 4)), small, rtol=1e-14)
    assert 2.7 < large < 3 and small < 1


def test_which_fields_are_dear(monkeypatch):
    """By sizes alone: many samples beside the weights. Steps that have to be a Runge-Kutta method's
    are left to one."""
    problem = of_sizes
    plain = Numerics(solver="auto")
    assert is_dear(problem(100, 1800), plain) and is_dear(problem(16, 200), plain)
    # High orders need few steps for small errors.
    loose, tight = Numerics(solver="auto", rtol=1e-6), Numerics(solver="auto", rtol=1e-9)
    assert not is_dear(problem(32, 100), loose) and is_dear(problem(32, 100), tight)
    assert not is_dear(problem(16, 50), tight) and not is_dear(problem(2, 4), plain)
    assert not is_dear(problem(4000, 60), plain)  # its algebra would cost more than the field
    # Its past is what a machine has to hold.
    monkeypatch.setattr("faflow.flow.effort.LARGEST", 7000)
    assert not is_dear(problem(100, 1800), plain)
    monkeypatch.undo()
    copies = [
        estimate(problem(100, 1800), 2, {}, Numerics(solver=s)).state
        for s in ("auto", "adams", "tsit5")
    ]
    assert copies[0] == copies[1] > 3 * copies[2]
    for other in (
        Numerics(solver="auto", project=True),
        Numerics(solver="auto", adjoint="backsolve"),
    ):
        assert not is_dear(problem(100, 1800), other)


def logistic():
    """One logistic unit on separable data: its rates decay like 1/t."""
    inputs = np.array([[3.0, 0.2], [2.0, -0.5], [-2.5, 0.3], [-3.0, 0.1]])
    data = make_data(inputs, np.array([1.0, 1.0, -1.0, -1.0]), "cross-entropy", "mean")
    rule = FeedbackAlignment()
    return FlowProblem(rule, MLP((jnp.zeros((1, 2)),)), Feedback((), rule.form), data)


def test_rates_that_decay_are_not_held_for_lasting(monkeypatch):
    """Fitted, cross-entropy calms down; what the first steps promise does not come."""
    ts = [0.0, 1e5]
    auto = run(logistic(), ts)
    assert solvers(auto) == ["tsit5"] and int(auto.counts.accepted) < 500
    monkeypatch.setattr("faflow.flow.automatic.demand_of", demand(3000.0, 3000.0))
    assert solvers(run(logistic(), ts)) == ["tsit5", "bdf"]  # control: it was promised


def test_how_much_is_enough():
    """Fewer steps for large nets, down to what the BDF takes; more at 1e-9; never a flow of ms."""

    def asked(width, samples, rtol=1e-6, loss="squared"):
        net = MLP((jnp.ones((width, 3)), jnp.ones((1, width))), (), ACTIVATIONS["tanh"]())
        data = make_data(np.ones((samples, 3)), np.ones(samples), loss)
        problem = FlowProblem(FeedbackAlignment(), net, Feedback(), data)
        return demand_of(problem, Numerics(rtol=rtol))

    assert asked(2, 4).early > 2400 and asked(2, 4).late > 2400
    dense, products = asked(20, 10_000), asked(500, 10_000)
    assert 30 < dense.early < products.early < 200 and dense.early > 2 * dense.late
    assert 2.2 < asked(20, 10_000, 1e-9).early / dense.early < 2.5
    assert asked(20, 10_000, loss="cross-entropy") == dense._replace(early=np.inf)
    assert dense.steps == 5 and asked(2, 4, 1e-9).steps == 15


def test_stops_and_limits_go_on_across_the_change(monkeypatch):
    monkeypatch.setattr("faflow.flow.automatic.demand_of", demand(np.inf, 1000.0))
    switched = run(decay())
    change = float(switched.legs[1].since)
    # Loss: sum over the unit inputs of w_i^2 / 2.
    loss = lambda t: 0.5 * np.sum(np.exp(-2 * RATES * t))  # noqa: E731
    stopped = run(decay(), loss=loss(2000.0))
    assert outcome(stopped) is Outcome.TARGET_REACHED and solvers(stopped) == ["tsit5", "bdf"]
    assert 2000.0 <= float(stopped.t_final) < 2300.0
    reached = np.asarray(stopped.reached)
    assert reached.sum() == 1 + np.sum(float(stopped.t_final) > TS)
    assert float(stopped.ts[reached][-1]) == float(stopped.t_final)

    # The largest speed was met before the change; since then it is 100 times smaller.
    share = speed(2000.0) / speed(0.0)
    rested = run(decay(), steady=share)
    assert outcome(rested) is Outcome.STEADY_STATE
    assert 2000.0 <= float(rested.t_final) < 2300.0
    assert speed(20_000.0) / speed(change) > share  # control: measured from the change: never

    limit = int(switched.legs[0].steps) + int(switched.legs[0].rejected) + 9
    limited = run(decay(), max_steps=limit)
    assert outcome(limited) is Outcome.MAX_STEPS
    assert int(limited.counts.accepted + limited.counts.rejected) == limit


def test_tail_scales_by_the_first_residual_and_numbers_do_not_retrace():
    """The slow half falls to 1e-9: relative accuracy needs tolerances that fall as well."""
    traces = []

    class Counted(Decay):
        def vector_field(self, weights, feedback, data):
            traces.append(1)
            return super().vector_field(weights, feedback, data)

    rates = np.where(RATES > 1, 10.0, 1e-3)
    problem = dataclasses.replace(decay(), rule=Counted(jnp.asarray(rates)))
    tailed, slow = run(problem, tail=True), rates < 1
    exact = np.exp(-rates * TS[-1])[slow]
    assert solvers(tailed) == ["tsit5", "bdf"]
    np.testing.assert_allclose(tailed.weights.weights[0][0, slow], exact, rtol=1e-3)
    loose = run(decay(rates)).weights.weights[0][0, slow]
    assert np.max(np.abs(loose / exact - 1)) > 1e-2  # control: atol without tail
    before = len(traces)
    for rtol, scale in ((1e-6, 1.0), (1e-5, 2.0)):
        assert solvers(run(problem, TS * scale, rtol=rtol, tail=True)) == ["tsit5", "bdf"]
    assert len(traces) == before > 0


SCALES = np.geomspace(1.0, 10**-2.5, 6)


def net_problem():
    """FA with weight decay on linear 6-4-1, inputs of scales 1 ... 10^-2.5; forecasts its laws."""
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((4, 6)) / 6**0.5, rng.standard_normal((1, 4)) / 2
    net = MLP((jnp.asarray(first), jnp.asarray(second)), (), ACTIVATIONS["linear"]())
    inputs = rng.standard_normal((20, 6)) * SCALES
    targets = np.tanh(inputs @ rng.standard_normal((6, 1)))
    rule = forecast(WeightDecay(FeedbackAlignment(), 1e-5), net)
    feedback = Feedback((jnp.asarray(rng.standard_normal((1, 4))),), rule.form)
    return FlowProblem(rule, net, feedback, make_data(inputs, targets, "squared", "mean"))


def test_net_with_forecasts_against_scipy():
    """Weights and the forecast laws in the rule's own state, at every save, against LSODA, which is
    within 3e-10 of Radau here."""
    problem, rtol = net_problem(), 1e-7
    ts = np.concatenate([[0.0], np.geomspace(1.0, 1e6, 13)])
    laws = problem.rule.forecasts
    observables = {"w": Weights(), **laws}
    numerics = Numerics(solver="auto", rtol=rtol, atol=rtol / 100)
    auto = integrate(problem, jnp.asarray(ts), observables, numerics)
    assert solvers(auto) == ["tsit5", "bdf"] and 0 < float(auto.legs[1].since) < 1e5
    start = jax.jit(lambda: flat_field(problem)[2])()
    push, bend = (
        jax.jit(lambda y, part=part: flat_field(problem)[part](jnp.zeros(()), y)) for part in (0, 1)
    )
    exact = solve_ivp(
        lambda t, y: np.asarray(push(y)), (0, ts[-1]), np.asarray(start), "LSODA", ts,
        jac=lambda t, y: np.asarray(bend(y)), rtol=1e-12, atol=1e-14,
    ).y.T  # fmt: skip
    own = np.asarray(auto.records["w"]).reshape(len(ts), -1)
    size = np.linalg.norm(exact[:, :28], axis=1).max()  # 24 + 4 weights come first in the state
    assert np.linalg.norm(own - exact[:, :24], axis=1).max() <= 100 * rtol * size
    told = np.concatenate(
        [np.asarray(leaf).reshape(len(ts), -1)
         for name in sorted(laws) for leaf in jax.tree.leaves(auto.records[f"{name}_forecast"])],
        axis=1,
    )  # fmt: skip
    assert np.abs(told - exact[:, 28 : 28 + told.shape[1]]).max() <= 100 * rtol * size
    for name in laws:  # and the theory: the laws themselves are where they were forecast
        for law, predicted in zip(
            jax.tree.leaves(auto.records[name]), jax.tree.leaves(auto.records[f"{name}_forecast"]),
            strict=True,
        ):  # fmt: skip
            np.testing.assert_allclose(law, predicted, atol=1000 * rtol * size)
            moved = np.asarray(law)
            assert np.abs(moved[-1] - moved[0]).max() > 1e-3  # control: they moved


def test_what_is_never_changed_says_why():
    relu = MLP((jnp.ones((2, 1)), jnp.ones((1, 2))), (), ACTIVATIONS["relu"]())
    data = make_data([[1.0], [-0.5]], [[0.3], [0.1]])
    feedback = Feedback((jnp.ones((1, 2)),), FeedbackAlignment().form)
    kinked = FlowProblem(FeedbackAlignment(), relu, feedback, data)
    auto, plain = (
        integrate(kinked, jnp.array([0.0, 1.0]), {}, Numerics(solver=name, rtol=1e-5))
        for name in ("auto", "tsit5")
    )
    assert solvers(auto) == ["tsit5"] and "has a kink" in auto.legs[0].reason
    bare = auto._replace(legs=())
    for one, two in zip(jax.tree.leaves(bare), jax.tree.leaves(plain), strict=True):
        np.testing.assert_array_equal(one, two)
    stepped = Numerics(solver="auto", step=jnp.asarray(0.1))
    assert "step is fixed" in why_unwatched(decay(), stepped, ())
    assert why_unwatched(decay(), Numerics(solver="auto"), ()) == ""


def test_inside_another_program_it_is_tsit5():
    """`solve` can be jitted and batched; there, one program can't change its solver."""

    def ends(solver):
        numerics = Numerics(solver=solver, rtol=RTOL, atol=RTOL / 100)
        start = decay()

        def one(scale):
            moved = dataclasses.replace(start, weights=MLP((scale * start.weights.weights[0],)))
            ts = jnp.asarray([0.0, 2e3])
            return solve(moved, ts, {}, numerics).weights.weights[0]

        return jax.jit(jax.vmap(one))(jnp.array([1.0, 2.0]))

    np.testing.assert_array_equal(ends("auto"), ends("tsit5"))
