"""The companion of a kinked flow: coarser in the right way, compared at the right times."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import (
    SKETCH,
    Flow,
    FlowProblem,
    Numerics,
    WeightSketch,
    companion,
    compare_flows,
    estimate_kink_error,
    integrate,
)
from faflow.networks import ACTIVATIONS, MLP, GatedReLU
from faflow.rules import Gradient
from faflow.tasks import make_data

RNG = np.random.default_rng(3)
TS = jnp.asarray(np.linspace(0.0, 2.0, 9))


def problem(activation=None) -> FlowProblem:
    data = make_data(RNG.normal(size=(6, 2)), RNG.normal(size=(6, 1)))
    weights = (jnp.asarray(RNG.normal(size=(3, 2))), jnp.asarray(RNG.normal(size=(1, 3))))
    phi = ACTIVATIONS["relu"]() if activation is None else activation
    return FlowProblem(Gradient(), MLP(weights, (), phi), Feedback(), data)


def test_companion_is_coarser_and_has_the_same_program() -> None:
    plain = companion(Flow(problem(), TS, {}, Numerics(rtol=1e-6, atol=1e-8)))
    assert plain.same_program and float(plain.flow.numerics.rtol) == pytest.approx(1e-5)
    assert float(plain.flow.numerics.atol) == pytest.approx(1e-7)
    fixed = companion(Flow(problem(), TS, {}, Numerics(solver="heun", step=0.05)))
    assert fixed.same_program and float(fixed.flow.numerics.step) == 0.1
    smooth = companion(Flow(problem(GatedReLU(1e-3)), TS, {}, Numerics()))
    assert smooth.flow.problem.weights.activation == GatedReLU(2e-3) and not smooth.same_program


@pytest.mark.parametrize("saves", [2, 3, 8, 9])
def test_companion_has_room_between_saves(saves: int) -> None:
    ts = jnp.asarray(np.linspace(0.0, 2.0, saves))
    moved = np.asarray(companion(Flow(problem(), ts, {}, Numerics())).flow.ts)
    assert np.all(np.diff(moved) > 0) and moved[-1] == 2.0
    np.testing.assert_array_equal(moved[::2], np.asarray(ts)[::2])


def test_saves_as_dense_as_the_steps_do_not_hide_the_error() -> None:
    """One step per save: a companion with the same saves would take the same steps."""
    start = problem()
    ts = np.linspace(0.0, 2.0, 401)
    error = estimate_kink_error(start, ts, Numerics(solver="euler", step=0.005))
    fine = integrate(start, ts, {SKETCH: WeightSketch()}, Numerics(solver="heun", step=5e-5))
    flow = integrate(start, ts, {SKETCH: WeightSketch()}, Numerics(solver="euler", step=0.005))
    mine, right = (np.asarray(end.records[SKETCH]) for end in (flow, fine))
    true = np.max(np.linalg.norm(mine - right, axis=1) / np.linalg.norm(right, axis=1))
    assert true <= error.weights <= 12 * true and error.by == "step x 2"


def test_early_companion_gives_no_number() -> None:
    numerics = Numerics(rtol=1e-4, atol=1e-6)
    flow = integrate(problem(), TS, {SKETCH: WeightSketch()}, numerics)
    coarser = companion(Flow(problem(), TS, {}, numerics))
    early = flow._replace(outcome=jnp.asarray(Outcome.BLOW_UP.value))
    error = compare_flows(flow, early, coarser)
    assert np.isnan(error.weights) and "blow-up" in error.status
    apart = compare_flows(flow, flow._replace(ts=jnp.asarray(np.asarray(flow.ts) + 1.0)), coarser)
    assert np.isnan(apart.weights) and "in common" in apart.status
    assert compare_flows(flow, flow, coarser).weights == 0.0


@pytest.mark.parametrize(("width", "accuracy"), [(100, 0.0), (3000, 0.1)])
def test_sketch_keeps_distances(width: int, accuracy: float) -> None:
    weights = problem().weights
    one = dataclasses.replace(weights, weights=(jnp.asarray(RNG.normal(size=(width, 2))),))
    sketch = np.asarray(eqx.filter_jit(WeightSketch())(one, Feedback(), problem().data))
    true = np.linalg.norm(one.weights[0])
    assert abs(np.linalg.norm(sketch) / true - 1) <= max(accuracy, 1e-12)
    assert sketch.shape[0] <= 1024
