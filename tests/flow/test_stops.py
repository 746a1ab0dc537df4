"""Where a flow stops: at the root of the condition, by every solver, whatever its steps."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, Stops, integrate
from faflow.flow.loop.stops import Bracket
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import Gradient
from faflow.solvers import FIXED_STEP_ONLY, SOLVERS
from faflow.tasks import make_data

X = np.array([[1.0, 0.2], [-0.5, 1.0], [0.3, -1.0]])
Y = {"relu": np.array([[2.0], [1.0], [0.1]]), "linear": X @ np.array([[1.5], [-0.7]])}
START = (np.array([[1.0, 0.5], [-0.3, 0.7]]), np.array([[1.0, 0.5]]))
NEVER = {"loss": 1e-9, "residual": 1e-9, "steady": 1e-9}  # one program serves all stops
CASES = (("loss", 0.3), ("residual", 0.5), ("steady", 0.03))
ORDER_TWO = {"rkc2", "heun", "implicit-midpoint"}  # at rtol 1e-6
SAVES = np.array([0.0, 0.1, 6.0])


def field(slope, t, flat):
    w, v = flat[:4].reshape(2, 2), flat[4:].reshape(1, 2)
    h = X @ w.T
    a, gate = (np.maximum(h, 0), 1.0 * (h > 0)) if slope == "relu" else (h, np.ones_like(h))
    error = a @ v.T - Y[slope]
    first = ((error @ v) * gate).T @ X
    return -np.concatenate([first.ravel(), (error.T @ a).ravel()])


def measured(slope, name, flat):
    w, v = flat[:4].reshape(2, 2), flat[4:].reshape(1, 2)
    h = X @ w.T
    error = (np.maximum(h, 0) if slope == "relu" else h) @ v.T - Y[slope]
    return {
        "loss": 0.5 * (error**2).sum(),
        "residual": np.linalg.norm(error),
        "steady": np.linalg.norm(field(slope, 0, flat)),
    }[name]


@cache
def right(slope, name, target):
    """(t, weights) at the event, by DOP853 at 1e-12; the speed is largest at the start."""
    start = np.concatenate([w.ravel() for w in START])
    peak = measured(slope, "steady", start) if name == "steady" else 1.0

    def event(t, flat):
        return measured(slope, name, flat) - target * peak

    event.terminal = True
    flow = solve_ivp(
        lambda t, flat: field(slope, t, flat), (0, 6), start, "DOP853",
        rtol=1e-12, atol=1e-14, events=event,
    )  # fmt: skip
    return flow.t_events[0][0], flow.y_events[0][0]


def stopped(slope, name, target, **numerics):
    net = MLP(tuple(jnp.asarray(w) for w in START), (), ACTIVATIONS[slope]())
    problem = FlowProblem(Gradient(), net, Feedback(), make_data(X, Y[slope]))
    stops = Stops(**{**NEVER, name: target})
    return integrate(problem, SAVES, {"loss": Loss()}, Numerics(stops=stops, **numerics))


def check(slope, solver, rtol, **more):
    for name, target in CASES:
        t, weights = right(slope, name, target)
        found = stopped(slope, name, target, solver=solver, rtol=rtol, **more)
        stop = Outcome.STEADY_STATE if name == "steady" else Outcome.TARGET_REACHED
        assert Outcome(int(found.outcome)) is stop
        # Near rest the speed is known to the tolerance over what is left of it.
        bound = 100 * rtol / (target if name == "steady" else 0.3)
        assert abs(float(found.t_final) - t) < bound, (name, float(found.t_final) - t)
        ends = np.concatenate([np.asarray(w).ravel() for w in found.weights.weights])
        np.testing.assert_allclose(ends, weights, atol=bound)
        # The record at the stop is that of the end; the one before is where it was.
        at = 1 if t < SAVES[1] else 2
        assert float(found.ts[at]) == float(found.t_final)
        loss = 0.5 * ((X @ ends[:4].reshape(2, 2).T @ ends[4:, None] - Y[slope]) ** 2).sum()
        if slope == "linear":
            np.testing.assert_allclose(found.records["loss"][at], loss, rtol=1e-12)
        assert float(found.records["loss"][at]) <= 0.3 * (1 + 1e-15) or name != "loss"
        assert at == 1 or float(found.ts[1]) == SAVES[1]


@pytest.mark.parametrize("solver", ["tsit5", "bdf", "adams"])
def test_stops_are_located(solver):
    check("linear", solver, 1e-8)


@pytest.mark.parametrize("solver", ["tsit5", "bdf"])
@pytest.mark.parametrize("power", [9, 13])
def test_a_stop_among_roundings_is_found(solver, power):
    """Where the last digits of the outputs decide whether a target is met no step leads nearer:
    the flow ends, after steps of the size that it had, at the residual that was asked for."""
    net = MLP(tuple(jnp.asarray(w) for w in START), (), ACTIVATIONS["linear"]())
    problem = FlowProblem(Gradient(), net, Feedback(), make_data(X, Y["linear"]))
    stops = Stops(residual=10.0**-power)
    numerics = Numerics(solver=solver, rtol=1e-9, tail=True, stops=stops)
    found = integrate(problem, np.array([0.0, 1.0, 5.0, 20.0, 60.0]), {"loss": Loss()}, numerics)
    assert Outcome(int(found.outcome)) is Outcome.TARGET_REACHED
    w, v = (np.asarray(w) for w in found.weights.weights)
    residual = np.linalg.norm(X @ w.T @ v.T - Y["linear"])
    assert 0.9 * 10.0**-power - 1e-14 < residual < 1.1 * 10.0**-power + 1e-14
    assert int(found.counts.accepted + found.counts.rejected) < 2000


def test_stops_of_the_exact_flow_are_located():
    check("relu", "tsit5", 1e-8, kinks="exact")


@pytest.mark.slow
@pytest.mark.parametrize("solver", sorted({*SOLVERS} - FIXED_STEP_ONLY - {"tsit5", "bdf", "adams"}))
def test_stops_are_located_by_every_other_solver(solver):
    check("linear", solver, 1e-6 if solver in ORDER_TWO else 1e-8)


def test_a_fixed_step_stops_at_its_end():
    """A discrete rule has no states between its steps."""
    t, _ = right("linear", "loss", 0.3)
    found = stopped("linear", "loss", 0.3, solver="euler", step=0.01)
    assert abs(float(found.t_final) / 0.01 - round(float(found.t_final) / 0.01)) < 1e-9
    assert t - 0.05 < float(found.t_final) < t + 0.05


@pytest.mark.parametrize(
    ("slope", "more"),
    [
        ("linear", {"solver": "tsit5", "rtol": 1e-8}),
        ("linear", {"solver": "bdf", "rtol": 1e-8}),
        ("linear", {"solver": "euler", "step": 0.01}),
        ("relu", {"solver": "tsit5", "rtol": 1e-8, "kinks": "exact"}),
    ],
)
def test_a_flow_that_is_there_already_ends_at_its_start(slope, more):
    for name in ("loss", "residual"):
        found = stopped(slope, name, 100.0, **more)
        assert Outcome(int(found.outcome)) is Outcome.TARGET_REACHED
        assert float(found.t_final) == 0 and int(found.counts.accepted) == 0
        np.testing.assert_array_equal(found.reached, [True, False, False])
        loss = measured(slope, "loss", np.concatenate([w.ravel() for w in START]))
        np.testing.assert_allclose(found.records["loss"][0], loss)


def test_a_bracket_whose_stop_is_not_met_again_lets_go():
    """A flow that comes to the far end by another way (an event between) must not wait there."""
    start, end, gap = jnp.array(1.0), jnp.array(2.0), jnp.array(1.0)
    bracket = Bracket(start, end, gap, -gap, jnp.array(0))
    assert float(bracket.aim()) == 1.5
    assert float(bracket.moved(end, jnp.array(0.5)).aim()) == np.inf
    assert float(bracket.moved(jnp.array(1.5), jnp.array(0.5)).aim()) > 1.5
    closest = Bracket(start, jnp.nextafter(start, end), gap, -gap, jnp.array(0))
    assert float(closest.aim()) > 1.0
