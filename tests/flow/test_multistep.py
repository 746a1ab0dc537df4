"""The BDF on whole flows: tolerances, saves, outcomes, counts, and what it refuses."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_weight import scalar
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, Stops, integrate, solve
from faflow.flow.loop.multistep import MultistepStepper, flat_field
from faflow.flow.loop.stepping import Stepper
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import AbstractObservable
from faflow.rules import AbstractWeightRule, Gradient, Momentum
from faflow.solvers import BDF
from faflow.tasks import make_data


class Weights(AbstractObservable):
    label: str = "w"
    axes: tuple[str, ...] = ("out", "in")

    def __call__(self, weights, feedback, data):
        return weights.weights[0]


class System(AbstractWeightRule):
    """w' = field(w), w the one row of a linear network's only matrix."""

    field: Any = eqx.field(static=True)
    equation: ClassVar[str] = "w' = field(w)"
    source: ClassVar[str] = "tests"
    form: ClassVar[str] = "none"

    def vector_field(self, weights, feedback, data):
        return jax.tree.map(lambda w: self.field(w[0])[None, :], weights)

    def laws(self, weights):
        return {}


def system(field, start):
    net = MLP((jnp.asarray(start, float)[None, :],))
    return FlowProblem(System(field), net, Feedback(), make_data([[1.0] * len(start)], [[0.0]]))


def run(problem, ts, solver="bdf", rtol=1e-6, **more):
    numerics = Numerics(solver=solver, rtol=rtol, atol=more.pop("atol", rtol / 100), **more)
    return integrate(problem, jnp.asarray(ts, float), {"w": Weights()}, numerics, throw=False)


def last(solution):
    return np.asarray(solution.weights.weights[0])[0]


def outcome(solution):
    return Outcome(int(solution.outcome))


RATES = np.geomspace(1.0, 1e6, 81)


@pytest.mark.parametrize("solver", ["bdf", "bdf-dense", "bdf-krylov"])
def test_linear_stiff_system(solver):
    """w_i' = -lambda_i (w_i - 1), lambda = 1 ... 1e6: to t = 5 in hundreds of steps, where explicit
    methods need 2e6. The spectrum is too wide for GMRES, which shows in its products alone."""
    problem = system(lambda w: -jnp.asarray(RATES) * (w - 1), np.zeros(81))
    for rtol in (1e-4, 1e-7):
        solution = run(problem, [0.0, 5.0], solver, rtol)
        assert outcome(solution) is Outcome.COMPLETED
        exact = 1 - np.exp(-5 * RATES)
        assert np.linalg.norm(last(solution) - exact) <= 100 * rtol * np.linalg.norm(exact)
        assert int(solution.counts.evaluations) < (5000 if solver == "bdf-krylov" else 2500)
        dense = int(solution.counts.implicit.factorisations)
        assert (dense > 0) == (solver != "bdf-krylov")  # GMRES strains here, and bdf factors


def test_van_der_pol():
    """mu = 1000 over two relaxation jumps, against LSODA, which is within 2e-10 of Radau here."""
    mu = 1000.0
    stiff = lambda t, y: [y[1], mu * ((1 - y[0] ** 2) * y[1]) - y[0]]  # noqa: E731
    bend = lambda t, y: [[0, 1], [-2 * mu * y[0] * y[1] - 1, mu * (1 - y[0] ** 2)]]  # noqa: E731
    exact = solve_ivp(stiff, (0, 2000.0), [2.0, 0.0], "LSODA", rtol=1e-12, atol=1e-13, jac=bend).y[
        :, -1
    ]
    problem = system(lambda w: jnp.stack([w[1], mu * (1 - w[0] ** 2) * w[1] - w[0]]), [2.0, 0.0])
    for rtol, bound in ((1e-6, 1e-3), (1e-9, 1e-6)):
        solution = run(problem, [0.0, 2000.0], "bdf", rtol)
        np.testing.assert_allclose(last(solution)[0], exact[0], rtol=bound)
        assert int(solution.counts.accepted) < 6000


def test_adams_shows_saves_within_its_steps_and_does_not_change_them():
    """A nonlinear swirl; field evaluations are counted, two a step that is kept."""
    turn = lambda t, w: np.array([w[1], -w[0] - 0.3 * w[0] ** 3 - 0.1 * w[1]])  # noqa: E731
    problem = system(lambda w: jnp.stack([w[1], -w[0] - 0.3 * w[0] ** 3 - 0.1 * w[1]]), [1.0, 0.5])
    ts = np.concatenate([[0.0], np.geomspace(1e-3, 20.0, 60)])
    late = np.concatenate([[0.0], 20 - 1e-9 * np.arange(59, -1, -1)])
    exact = solve_ivp(turn, (0, 20), [1.0, 0.5], "DOP853", t_eval=ts, rtol=1e-12, atol=1e-14).y.T
    for rtol in (1e-5, 1e-9):
        many, few = (run(problem, saves, "adams", rtol) for saves in (ts, late))
        errors = np.linalg.norm(np.asarray(many.records["w"])[:, 0] - exact, axis=1)
        assert 1e-13 < errors.max() <= 50 * rtol
        np.testing.assert_array_equal(last(many), last(few))
        for one, two in zip(jax.tree.leaves(many.counts), jax.tree.leaves(few.counts), strict=True):
            assert int(one) == int(two)
        counts = few.counts
        assert int(counts.evaluations) == 3 + 2 * int(counts.accepted) + int(counts.rejected)
    with pytest.raises(ValueError, match="Adams chooses its steps"):
        run(problem, ts, "adams", step=0.1)


SWIRL = np.array([[-1.0, 30.0, 0.0], [-30.0, -1.0, 0.5], [0.0, 3.0, -400.0]])


@pytest.mark.parametrize("solver", ["bdf-dense", "bdf-krylov"])
def test_complex_eigenvalues_and_interpolation(solver):
    """A swirl -1 +- 30i beside -400. What the saves show is as exact as the steps, and saving does
    not change them: none but at the end are the control."""
    problem = system(lambda w: jnp.asarray(SWIRL) @ w, [1.0, 1.0, 1.0])
    ts = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 60)])
    late = np.concatenate([[0.0], 1 - 1e-10 * np.arange(59, -1, -1)])
    exact = np.stack([expm(t * SWIRL) @ np.ones(3) for t in ts])
    for rtol in (1e-5, 1e-8):
        many, few = run(problem, ts, solver, rtol), run(problem, late, solver, rtol)
        errors = np.linalg.norm(np.asarray(many.records["w"])[:, 0] - exact, axis=1)
        assert errors.max() <= 200 * rtol  # after 30 radians
        np.testing.assert_array_equal(last(many), last(few))
        for one, two in zip(jax.tree.leaves(many.counts), jax.tree.leaves(few.counts), strict=True):
            assert int(one) == int(two)
        np.testing.assert_array_equal(many.ts, ts)
        assert errors.max() > 1e-13  # control: the bound is not met by exactness


def test_order_rises_to_five_on_a_smooth_flow_and_stays_low_at_loose_tolerance():
    problem, ts = system(lambda w: -w + 0.1 * w**2, [1.0, 0.3]), jnp.array([0.0, 10.0])

    @jax.jit
    def order(rtol):
        numerics = Numerics(solver="bdf", rtol=rtol, atol=rtol)
        flow = Stepper(problem, numerics, ts[0], ts[1])
        stepper = MultistepStepper(flow, BDF())
        carry = stepper.init()
        carry = stepper.advance(carry, flow.hold(carry), jnp.asarray(2.0), None)
        return carry.solver_state.history.order

    assert int(order(1e-10)) == 5
    assert int(order(1e-2)) < 4


SAVES = 41  # of all flows of one weight, which never come to NEVER: one program serves them
NEVER = Stops(loss=0.0, steady=0.0)


@pytest.mark.parametrize("solver", ["bdf", "adams"])
def test_outcomes(solver):
    """w' = w^3 escapes at t = 1/2; a wall at w = 2; a stop and a step limit are met on time."""
    ts = np.linspace(0.0, 1.0125, SAVES)  # the escape lies between slots 19 and 20
    escaped = run(scalar(c=1.0, power=3.0), ts, solver, stops=NEVER)
    assert outcome(escaped) is Outcome.BLOW_UP
    assert float(escaped.t_final) == pytest.approx(0.5, rel=1e-4)
    reached = np.asarray(escaped.reached)
    before = np.arange(SAVES) < 20
    np.testing.assert_array_equal(reached, np.arange(SAVES) <= 20)
    w = np.asarray(escaped.records["w"])[before, 0, 0]
    np.testing.assert_allclose(w, (1 - 2 * ts[before]) ** -0.5, rtol=1e-3)
    assert np.all(np.isnan(np.asarray(escaped.records["w"])[~reached]))

    ts = np.linspace(0.0, 2.0, SAVES)
    wall = run(scalar(a=1.0, wall=2.0), ts, solver, max_steps=5000, stops=NEVER)
    assert outcome(wall) is Outcome.NOT_FINITE
    assert float(wall.t_final) == pytest.approx(1.0, abs=1e-6)

    limited = run(scalar(b=-1.0), ts, solver, max_steps=7, stops=NEVER)
    assert outcome(limited) is Outcome.MAX_STEPS
    assert int(limited.counts.accepted + limited.counts.rejected) == 7
    t, w = np.asarray(limited.ts), np.asarray(limited.records["w"])[:, 0, 0]
    reached = np.asarray(limited.reached)
    np.testing.assert_allclose(w[reached], np.exp(-t[reached]), rtol=1e-4)


@pytest.mark.parametrize("solver", ["bdf", "adams"])
def test_stops_between_saves_are_shown_where_they_were_met(solver):
    """w' = -w, target 0: the loss e^{-2t} / 2 falls to 0.05 at t = log(10) / 2, and the speed to
    1e-3 of its peak at log 1000. The slots before hold what was passed on the way."""
    ts = np.linspace(0.0, 20.0, SAVES)
    problem = scalar(b=-1.0)
    for stops, when in (
        (Stops(loss=0.05, steady=0.0), np.log(10) / 2),
        (Stops(loss=0.0, steady=1e-3), np.log(1e3)),
    ):
        solution = run(problem, ts, solver, rtol=1e-9, stops=stops)
        assert not outcome(solution).early and outcome(solution) is not Outcome.COMPLETED
        assert float(solution.t_final) == pytest.approx(when, abs=1e-5)
        reached = np.asarray(solution.reached)
        t, w = np.asarray(solution.ts)[reached], np.asarray(solution.records["w"])[reached, 0, 0]
        np.testing.assert_allclose(w, np.exp(-t), rtol=1e-6)
        assert t[-1] == float(solution.t_final) and np.all(np.diff(t) > 0)


@pytest.mark.parametrize("solver", ["bdf", "adams"])
def test_tail_keeps_relative_accuracy(solver):
    """As for Runge-Kutta methods: e^{-t} to 2 % down to 1e-12, and not without."""
    problem = eqx.tree_at(lambda p: p.data.targets, scalar(0.0, a=1.0, b=-1.0), np.ones((1, 1)))
    ts = np.linspace(0.0, 27.0, SAVES)
    off = [
        np.abs((1 - np.asarray(one.records["w"])[:, 0, 0]) * np.exp(ts) - 1)
        for one in (run(problem, ts, solver, tail=tail, stops=NEVER) for tail in (True, False))
    ]
    assert off[0].max() < 2e-2 < 1 < off[1].max()


def test_a_rule_with_a_state_of_its_own():
    """m w'' + gamma w' = -w from rest: a damped oscillation in closed form."""
    problem = system(lambda w: -w, [1.0])
    problem = eqx.tree_at(lambda p: p.rule, problem, Momentum(problem.rule, 0.5, 0.3))
    ts = np.linspace(0.0, 8.0, 9)
    matrix = np.array([[0.0, 1.0], [-2.0, -0.6]])
    exact = [(expm(t * matrix) @ [1.0, 0.0])[0] for t in ts]
    np.testing.assert_allclose(run(problem, ts, rtol=1e-8).records["w"][:, 0, 0], exact, atol=1e-6)


def test_tolerances_do_not_retrace_and_flows_can_be_batched():
    traces = []

    def field(w):
        traces.append(1)
        return -w + 0.1 * w**2

    problem = system(field, [1.0])
    run(problem, [0.0, 1.0], rtol=1e-5)
    before = len(traces)
    assert before > 0
    for rtol in (1e-3, 1e-8):
        run(problem, [0.0, 2.0], rtol=rtol)
    assert len(traces) == before

    def one(start):
        moved = eqx.tree_at(lambda p: p.weights.weights[0], problem, start[None, None])
        solution = solve(moved, jnp.array([0.0, 1.0]), {}, Numerics(solver="bdf"))
        return solution.weights.weights[0][0, 0]

    starts = jnp.array([0.5, 1.0, 2.0])
    exact = [solve_ivp(lambda t, w: -w + 0.1 * w**2, (0, 1), [s], rtol=1e-12, atol=1e-12).y[0, -1]
             for s in np.asarray(starts)]  # fmt: skip
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(starts), exact, rtol=1e-7)


def test_single_precision():
    with jax.enable_x64(False):
        problem = system(lambda w: -jnp.asarray([1.0, 1e3]) * (w - 1), [0.0, 0.0])
        for solver in ("bdf-dense", "bdf-krylov"):
            solution = run(problem, [0.0, 2.0], solver, rtol=1e-4)
            assert outcome(solution) is Outcome.COMPLETED and last(solution).dtype == np.float32
            np.testing.assert_allclose(last(solution), [1 - np.exp(-2.0), 1.0], atol=1e-3)


def test_what_a_bdf_refuses():
    relu = MLP((jnp.ones((2, 1)), jnp.ones((1, 2))), (), ACTIVATIONS["relu"]())
    data = make_data([[1.0]], [[0.0]])
    kinked = FlowProblem(Gradient(), relu, Feedback(), data)
    with pytest.raises(ValueError, match=r"smooth field.*heun"):
        run(kinked, [0.0, 1.0])
    with pytest.raises(ValueError, match="chooses its steps"):
        run(system(lambda w: -w, [1.0]), [0.0, 1.0], step=0.1)
    wide = MLP((jnp.ones((1, 1_000_000)),))
    large = FlowProblem(Gradient(), wide, Feedback(), make_data(jnp.ones((1, 1_000_000)), [[0.0]]))
    for solver in ("bdf-dense", "kvaerno5"):
        with pytest.raises(ValueError, match=r"1000000 weights.*GiB.*bdf-krylov"):
            run(large, [0.0, 1.0], solver)


def test_flat_field_is_the_rules():
    """Against the network's own loss: f = -gradient, J = -Hessian."""
    rng = np.random.default_rng(0)
    parts = tuple(jnp.asarray(rng.standard_normal(s)) for s in ((4, 3), (2, 4)))
    data = make_data(rng.standard_normal((7, 3)), rng.standard_normal((7, 2)))
    net = MLP(parts, (), ACTIVATIONS["tanh"]())
    field, jacobian, y = flat_field(FlowProblem(Gradient(), net, Feedback(), data))

    def loss(y):
        first, second = y[:12].reshape(4, 3), y[12:].reshape(2, 4)
        outputs = jnp.tanh(data.inputs @ first.T) @ second.T
        return 0.5 * jnp.sum((outputs - data.targets) ** 2)

    both = jax.jit(lambda now, y: (field(now, y), jacobian(now, y)))(jnp.zeros(()), y)
    slope, bend = jax.jit(lambda y: (jax.grad(loss)(y), jax.hessian(loss)(y)))(y)
    np.testing.assert_allclose(both[0], -slope, atol=1e-12)
    np.testing.assert_allclose(both[1], -bend, atol=1e-11)
