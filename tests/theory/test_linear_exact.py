"""Predictions 30-31: closed forms of gradient flow in linear nets, tests of the integrator."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import Flow, to_problem
from scipy.linalg import expm
from whole import completed

from faflow.flow import Numerics
from faflow.observables import AbstractObservable, linear_map

IN, HIDDEN, OUT = 5, 3, 4


class Map(AbstractObservable):
    label: str = "W_2 W_1"
    axes: tuple[str, ...] = ("out", "in")

    def __call__(self, weights, feedback, data):
        return linear_map(weights)


def maps(flow, ts, **options):
    options = {"solver": "dopri8", "rtol": 1e-12, "atol": 1e-14, **options}
    return completed(to_problem(flow), ts, {"map": Map()}, Numerics(**options)).records["map"]


def setting(imbalance, seed=0):
    """W_2^T W_2 - W_1 W_1^T = lambda I; whitened inputs (X^T X = I), S = Y^T X."""
    rng = np.random.default_rng(seed)
    x = np.linalg.qr(rng.standard_normal((8, IN)))[0]
    y = x @ rng.standard_normal((IN, OUT))
    rotate, right, left = (
        np.linalg.qr(rng.standard_normal((n, HIDDEN)))[0] for n in (HIDDEN, IN, OUT)
    )
    low = np.array([1.3, 1.0, 0.9])
    high = np.sqrt(low**2 + imbalance)
    weights = (rotate @ np.diag(low) @ right.T, left @ np.diag(high) @ rotate.T)
    return Flow("gold", weights, x, y, rule="gradient", activation="linear")


def fukumizu(flow, imbalance, t):
    """Q Q^T(t) = e^{Mt} Q_0 [I + Q_0^T (int_0^t e^{2Mu} du) Q_0]^{-1} Q_0^T e^{Mt}; its lower left.

    The integral is a block of the exponential of [[2M, I], [0, 0]] (Van Loan 1978).
    """
    w1, w2 = flow.weights
    s = flow.targets.T @ flow.inputs
    q = np.vstack([w1.T, w2])
    size = IN + OUT
    m = np.zeros((size, size))
    m[:IN, :IN], m[IN:, IN:] = -imbalance / 2 * np.eye(IN), imbalance / 2 * np.eye(OUT)
    m[:IN, IN:], m[IN:, :IN] = s.T, s
    block = np.zeros((2 * size, 2 * size))
    block[:size, :size], block[:size, size:] = 2 * m * t, t * np.eye(size)
    integral = expm(block)[:size, size:]
    grown = expm(m * t) @ q
    gram = grown @ np.linalg.solve(np.eye(HIDDEN) + q.T @ integral @ q, grown.T)
    return gram[IN:, :IN]


@pytest.mark.parametrize("imbalance", [0.0, 0.8, -0.5])
def test_rectangular_linear_net(measured, imbalance):
    """Prediction 30, widths 5-3-4."""
    flow, ts = setting(imbalance), np.linspace(0.0, 2.0, 9)
    exact = np.stack([fukumizu(flow, imbalance, t) for t in ts])
    apart = np.abs(maps(flow, ts) - exact).max()
    measured(30, f"integrated flow, widths 5-3-4, lam = {imbalance:g}", apart, below=1e-9)
    # Controls: another lambda, and feedback alignment instead of the gradient.
    other = np.abs(fukumizu(flow, imbalance + 0.3, 1.0) - exact[4]).max()
    measured(30, "control: the formula of another lam", other, above=0.01)
    rng = np.random.default_rng(1)
    other = replace(flow, rule="feedback-alignment", feedback=(rng.standard_normal((OUT, HIDDEN)),))
    measured(30, "control: feedback alignment", np.abs(maps(other, ts) - exact).max(), above=0.1)


def test_control_unbalanced_weights_leave_the_formula():
    flow = setting(0.0)
    flow = replace(flow, weights=(flow.weights[0], 1.5 * flow.weights[1]))
    assert np.abs(maps(flow, [0.0, 1.0])[-1] - fukumizu(flow, 0.0, 1.0)).max() > 0.05


def saxe(s, start, t):
    """a' = 2 a (s - a)."""
    grown = np.exp(2 * s * t)
    return s * grown / (grown - 1 + s / start)


@pytest.mark.parametrize("solver", ["dopri8", "kvaerno5", "gauss6"])
def test_decoupled_mode(measured, solver):
    """Prediction 31: 2.9944987480 at t = 2 for s = 3, a_0 = 0.01; one mode of weights sqrt(a)."""
    root = np.full((1, 1), 0.1)
    flow = Flow(
        "mode", (root, root), np.eye(1), np.full((1, 1), 3.0), rule="gradient", activation="linear"
    )
    ts = np.linspace(0.0, 2.0, 11)
    step = 1e-3 if solver == "gauss6" else None
    modes = maps(flow, ts, solver=solver, step=step)[:, 0, 0]
    apart = np.abs(modes - saxe(3.0, 0.01, ts)).max()
    measured(31, f"one mode, {solver}", apart, below=1e-9)
    assert modes[-1] == pytest.approx(2.9944987480, abs=1e-9)
    # Control: the mode equation without the factor 2 is far away.
    half = np.abs(modes - saxe(3.0, 0.01, ts / 2)).max()
    measured(31, "control: the mode equation without the factor 2", half, above=0.5)
