"""The reproduction of Bordelon & Pehlevan 2022: its kernels, its statistics, a check and a control.

The checks themselves take minutes: `faflow reproduce bordelon-pehlevan-2022` is the test of them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from faflow.reproduce.bordelon_pehlevan import deep_linear, gradient_flow
from faflow.reproduce.bordelon_pehlevan.compared import (
    along_targets,
    away,
    below,
    chance,
    fall,
    fall_readings,
    far,
    near,
    student,
    with_targets,
)
from faflow.reproduce.bordelon_pehlevan.nets import MeanFieldKernels, networks
from faflow.reproduce.claim import Claim
from faflow.reproduce.report import judged
from faflow.reproduce.session import Session
from faflow.rules import as_matrix, effective_kernel, weight_velocity
from faflow.tasks import make_data
from faflow.wide import gradient_on_grid

RNG = np.random.default_rng(2)
X, Y = RNG.standard_normal((3, 4)), np.array([1.0, -0.5, 0.8])
DATA = make_data(X, Y)


@pytest.mark.parametrize("rule", ["gradient", "feedback-alignment", "direct-feedback-alignment"])
def test_kernels_of_a_network_add_up_to_the_effective_one(rule):
    start = networks(rule, "tanh", DATA, (2, 5), [0], rho=0.3, richness=1.4)[0]
    see = MeanFieldKernels(start.rule)
    found = see(start.network, start.feedback, DATA)
    kernel = as_matrix(effective_kernel(start.rule, start.network, start.feedback, DATA))
    np.testing.assert_allclose(found["tangent"], kernel, rtol=1e-10)
    np.testing.assert_allclose(found["features"][0], X @ X.T / 4, rtol=1e-12)
    same = np.abs(found["correlation"] - 1).max()
    assert same < 1e-12 if rule == "gradient" else same > 0.1


def test_hebb_s_kernel_moves_its_outputs():
    start = networks("hebbian", "tanh", DATA, (1, 5), [0], richness=1.4)[0]
    found = MeanFieldKernels(start.rule)(start.network, start.feedback, DATA)
    state = start.rule.init(start.network, start.feedback, DATA)
    move = weight_velocity(start.rule, start.network, start.feedback, DATA, state)[0]
    speed = jax.jvp(lambda net: net(DATA.inputs)[:, 0], (start.network,), (move,))[1]
    np.testing.assert_allclose(found["tangent"] @ (Y - found["outputs"]), speed, rtol=1e-10)


def test_distances_in_standard_errors():
    """About 1 to the mean that the runs have, far from another; a slope of -1 and of 0."""
    rng = np.random.default_rng(0)
    limit = rng.standard_normal((20, 5))
    runs = {n: limit + rng.standard_normal((30, 20, 5)) / n**0.5 for n in (16, 64, 256)}
    assert 0.7 < away(runs[256], limit) < 1.3 and away(runs[256], 1.5 * limit) > 4
    slope, error = fall(runs, limit)
    assert abs(slope + 1) < 3 * error < 0.15
    assert all(reading.ok for reading in fall_readings("f", runs, limit))
    flat = {n: limit + rng.standard_normal((30, 20, 5)) / 4 for n in (16, 64, 256)}
    assert not fall_readings("f", flat, limit)[0].ok
    noise = 0.3 * rng.standard_normal((20, 5))
    assert away(runs[256], limit + noise, 0.3) < 1.5 < away(runs[256], limit + noise)


@pytest.mark.parametrize("entries", [1, 50])
def test_chance_seldom_takes_the_right_limit_far(entries):
    """Whether entries are independent or copies of one: at most once in 1,000."""
    rng, draws = np.random.default_rng(1), 1500
    for copies in (False, True):
        drawn = rng.standard_normal((draws, 6, 1 if copies else entries))
        beyond = sum(not near("", runs + np.ones(entries), np.ones(entries)).ok for runs in drawn)
        assert beyond <= 6
    shifted = 12.0 + rng.standard_normal((6, entries))
    assert not near("", shifted, np.ones(entries)).ok and far("", shifted, np.ones(entries)).ok
    # A limit of two batches has one degree of freedom where it is what is uncertain.
    runs = rng.standard_normal((6, entries))
    assert chance(runs) == student(5) < chance(runs, 100.0, 2) < 1.01 * student(1)


def test_alignment_and_shares():
    kernel = np.outer(Y, Y)
    assert with_targets(kernel, Y) == pytest.approx(1.0)
    assert along_targets(np.stack([kernel, np.eye(3)]), Y) == pytest.approx([Y @ Y, 1.0])
    shares = below(np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 0.0]]), np.array([2.0, 5.5]))
    np.testing.assert_array_equal(shares, [[0.5, 1.0], [0.25, 0.5]])


def test_the_printed_flow_and_its_factor():
    ts, g = np.linspace(0, 1, 5), gradient_flow.WHITE_RICHNESS**2
    for factor in (1.0, 2.0):
        field = lambda t, d, c=factor: -c * np.sqrt(1 + g * (1 - d) ** 2) * d  # noqa: E731
        told = solve_ivp(field, (0, 1), [1.0], "DOP853", ts, rtol=1e-12, atol=1e-13).y[0]
        np.testing.assert_allclose(gradient_flow.whitened_gap(ts, factor), told, atol=1e-10)


def test_without_responses_two_layers_are_wrong_and_one_is_right():
    """By the other route to f, which knows nothing of K; both up to the grid's step."""
    apart = {}
    for hidden in (1, 2):
        for heard in (True, False):
            found = gradient_on_grid(
                DATA, hidden, jnp.asarray(1.5), jnp.asarray(0.5), 9, responses=heard
            )
            apart[hidden, heard] = np.abs(found.outputs - found.other_outputs).max()
    assert apart[1, True] == apart[1, False]
    assert apart[2, False] > 5 * apart[2, True]


def test_a_check_holds_and_its_control_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(deep_linear, "STORED", 12)
    monkeypatch.setattr(deep_linear, "SAMPLES", 4)
    monkeypatch.setattr(deep_linear, "FEATURES", 6)
    claim = Claim("small", "c", "s", "as stated", "", deep_linear.by_weights)
    session = Session(tmp_path, True, lambda text: None)
    found = judged(claim, session)
    assert found.runs == ("runs/fig4-network",)
    assert (tmp_path / found.figure).stat().st_size > 10_000
    assert found.measures[0].value < 5e-3 < 0.05 < found.measures[1].value
    # Control: with the kernel's powers of rho, f would move at another speed from the start.
    assert found.measures[1].control
