"""Time in float32: steps far below the resolution of t, against exponentials and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, FlowSolution, Numerics, integrate
from faflow.flow.loop.moment import elapsed, nothing_lost, step_ahead
from faflow.flow.loop.stepping import Stepper
from faflow.networks import MLP
from faflow.rules import Gradient
from faflow.tasks import make_data


def decay() -> FlowProblem:
    """w' = -w from 1."""
    data = make_data(np.ones((1, 1)), np.zeros((1, 1)), "squared", "mean")
    return FlowProblem(Gradient(), MLP((jnp.asarray(np.ones((1, 1))),)), Feedback(), data)


def flown(ts: list[float], **numerics) -> tuple[float, FlowSolution]:
    with jax.enable_x64(False):
        end = integrate(decay(), jnp.asarray(ts), {}, Numerics(**numerics), throw=False)
        assert end.ts.dtype == np.float32 and Outcome(int(end.outcome)) is Outcome.COMPLETED
        np.testing.assert_array_equal(end.ts, np.asarray(ts, np.float32))
        return float(end.weights.weights[0][0, 0]), end


@pytest.mark.parametrize("solver", ["tsit5", "gauss4"])
def test_a_flow_late_in_time_is_as_exact_as_an_early_one(solver: str) -> None:
    """At t = 1e7 a unit in the last place of t is 1, and steps are shorter."""
    how = {"solver": solver, "rtol": 1e-5, "atol": 1e-9}
    early, _ = flown([0.0, 3.0, 8.0], **how)
    late, end = flown([1e7, 1e7 + 3, 1e7 + 8], **how)
    assert int(end.counts.accepted) > 8
    assert late == pytest.approx(early, rel=1e-5)
    assert late == pytest.approx(np.exp(-8.0), rel=2e-3)


def test_fixed_steps_are_as_many_as_asked_for() -> None:
    """(1 - eta)^n: eta is a unit in the last place of t."""
    found, end = flown([1e4, 1e4 + 1], solver="euler", step=1e-3)
    assert int(end.counts.accepted) == 1000
    assert found == pytest.approx((1 - 1e-3) ** 1000, rel=1e-5)


def test_a_million_steps_add_up() -> None:
    """Against float64; t alone (the control) is off by more than a thousandth."""
    with jax.enable_x64(False):
        start, h = jnp.float32(1e3), jnp.float32(1e-3)
        zero = nothing_lost(start, Numerics())

        def step(_, now):
            ahead = step_ahead(*now, h, jnp.float32(1e5))
            return ahead.t, ahead.lost

        def both(number, now):
            return step(number, now[0]), now[1] + h

        (t, lost), alone = jax.jit(jax.lax.fori_loop, static_argnums=(0, 1, 2))(
            0, 10**6, both, ((start, zero), start)
        )
    exact = 1e3 + 1e6 * float(h)
    assert abs(float(t) + float(lost) - exact) < 1e-7 * exact
    assert abs(float(t) - exact) < 1e-4 < 1.0 < abs(float(alone) - exact)


def test_no_flow_arrives_by_rounding() -> None:
    """A step that ends less than a unit before its target is not there, and the next one is."""
    with jax.enable_x64(False):
        t, target, ahead = jnp.float32(1e7), jnp.float32(1e7 + 1), jax.jit(step_ahead)
        near = ahead(t, jnp.float32(0), jnp.float32(0.8), target)
        assert float(near.t) < float(target) and not near.cut
        assert float(near.t) - 1e7 + float(near.lost) == pytest.approx(0.8, rel=1e-6)
        there = ahead(near.t, near.lost, jnp.float32(0.8), target)
        assert there.cut and float(there.t) == float(target) and float(there.lost) == 0
        assert float(there.end) == pytest.approx(0.2, rel=1e-6)


def test_float64_has_t_alone() -> None:
    t = jnp.asarray(1.0)
    assert nothing_lost(t, Numerics()) is None
    start = jax.jit(lambda t: Stepper(decay(), Numerics(), t, 2 * t).init())(t)
    assert start.lost is None and float(elapsed(start, start._replace(t=3 * t))) == 2.0
