"""Stability measured on the way: the estimate on linear systems, the boundary, the count."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.solvers import (
    Demand,
    real_boundary,
    step_times_rate,
    tells_stiffness,
    watch_stiffness,
    watched,
)

TSIT5 = diffrax.Tsit5.tableau


def stages(rates, h, y):
    """h k_i of one tsit5 step of y' = -rates y, from the tableau's rows."""
    k = []
    for row in [[], *TSIT5.a_lower]:
        place = y + sum((a * slope for a, slope in zip(row, k, strict=True)), np.zeros_like(y))
        k.append(-h * rates * place)
    return jnp.asarray(np.stack(k))


@pytest.mark.parametrize(
    ("solver", "limit"), [("Heun", 2.0), ("Bosh3", 2.5127), ("Dopri5", 3.3066)]
)
def test_boundary_of_stability(solver, limit):
    """Hairer & Wanner 1996, section IV.2."""
    assert real_boundary(getattr(diffrax, solver).tableau) == pytest.approx(limit, abs=2e-3)


def test_boundary_of_tsit5_is_where_its_steps_begin_to_grow():
    limit = real_boundary(TSIT5)
    assert limit == pytest.approx(3.507, abs=2e-3)
    for share, grows in ((0.99, False), (1.01, True)):
        y, one = np.ones(1), np.ones(1)
        for _ in range(1500):
            y = y + np.asarray(TSIT5.b_sol) @ np.asarray(stages(share * limit * one, 1.0, y))
        assert (abs(y[0]) > 1) == grows


def test_estimate_is_h_lambda():
    """Exact for one rate; the fastest of many once their parts are alike; 0 of a constant."""
    assert float(step_times_rate(TSIT5, stages(np.array([7.0]), 0.3, np.ones(1)))) == (
        pytest.approx(2.1, rel=1e-9)
    )
    rates = np.array([1e-3, 0.1, 10.0])
    assert float(step_times_rate(TSIT5, stages(rates, 0.3, np.ones(3)))) == (
        pytest.approx(3.0, rel=1e-3)
    )
    slow = step_times_rate(TSIT5, stages(rates, 0.3, np.array([1.0, 1.0, 0.0])))
    assert float(slow) == pytest.approx(0.03, rel=1e-3)  # control: what is not there is not seen
    assert float(step_times_rate(TSIT5, jnp.zeros((7, 2)))) == 0


def test_what_is_only_rounding_tells_nothing():
    step = stages(np.array([7.0]), 1e-3, np.ones(1))
    assert float(step_times_rate(TSIT5, step)) == pytest.approx(7e-3, rel=1e-3)
    assert float(step_times_rate(TSIT5, step, 1e-3)) == 0


CLOSE, FAR = (stages(np.array([rate]), 1.0, np.ones(1)) for rate in (3.3, 1.0))


def votes(text, early=1000.0, late=100.0, left=200.0):
    """Of steps at the limit (x) and far from it, both of size 1 with `left` to go."""
    watch = watch_stiffness()
    for step in text:
        watch = watched(
            watch, TSIT5, CLOSE if step == "x" else FAR, jnp.asarray(1.0), jnp.asarray(left),
            Demand(early, late, np.int64(15)),
        )  # fmt: skip
    return watch


def test_steps_speak_by_what_stability_demands_of_the_rest():
    """At a step's share of the boundary, 0.94 or 0.285, 188 or 57 steps are demanded of 200."""
    assert float(votes("x").demanded) == pytest.approx(3.3 / 3.507 * 200, rel=1e-3)
    assert float(votes(".").demanded) == pytest.approx(1.0 / 3.507 * 200, rel=1e-3)
    assert int(votes("xxx").votes) == 3 and int(votes("xxx", late=190.0).votes) == 0
    assert int(votes("...").votes) == 0 and int(votes("...", early=50.0).votes) == 3
    assert int(votes("...", early=np.inf, left=1e9).votes) == 0


def test_six_steps_against_begin_the_count_anew():
    assert int(votes(5 * "xxx.....").votes) == 15
    assert int(votes(5 * "xxx......").votes) == 0


def test_which_methods_tell_stiffness():
    told = [s for s in ("Tsit5", "Dopri5", "Bosh3", "Heun") if tells_stiffness(
        getattr(diffrax, s).tableau)]  # fmt: skip
    assert told == ["Tsit5", "Dopri5"]
