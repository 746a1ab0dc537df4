"""Predictions 19-22: Robertson & Koyejo's Theorem 2, two-layer linear nets on few samples.

Columns of the theory's W_1 (d x h) are rows of ours (h x d); b = F_2, w_2 = W_2, w = W_1^T w_2.
W_1' = X^T e b^T, w_2' = W_1^T X^T e, e = y - X w (theory, section 3).
"""

import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Flow, to_problem

from faflow.flow import Numerics, integrate
from faflow.observables import Loss, Residual

SAMPLES, INPUTS, HIDDEN = 4, 10, 6
OBSERVABLES = {"loss": Loss(), "residual": Residual()}
TAIL = Numerics(tail=True, rtol=1e-11, atol=1e-13)


def setting(seed, first="span", second="feedback", inputs=None):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((SAMPLES, INPUTS)) if inputs is None else inputs
    y = rng.standard_normal((SAMPLES, 1))
    b = rng.standard_normal((1, HIDDEN)) / HIDDEN**0.5
    w1 = {
        "span": rng.standard_normal((HIDDEN, SAMPLES)) @ x,
        "gaussian": rng.standard_normal((HIDDEN, INPUTS)),
        "zero": np.zeros((HIDDEN, INPUTS)),
    }[first]
    w1 = w1 * 0.9 * np.linalg.norm(b) / max(np.linalg.norm(w1), 1e-300)
    w2 = b.copy() if second == "feedback" else np.zeros_like(b)
    return Flow("theorem-2", (w1, w2), x, y, (b,), activation="linear")


def run(flow, t1, saves=241):
    ts = jnp.linspace(0.0, t1, saves)
    solution = integrate(to_problem(flow), ts, OBSERVABLES, TAIL)
    w1, w2 = (np.asarray(weight) for weight in solution.weights.weights)
    return np.asarray(ts), np.asarray(solution.records["residual"]), solution, w1, w2


def slowest(flow, w1, w2):
    """lambda_min(H), H = (b.w_2) X X^T + X W_1 W_1^T X^T."""
    x, b = flow.inputs, flow.feedback[0]
    h = (b @ w2.T).item() * x @ x.T + x @ w1.T @ w1 @ x.T
    return np.linalg.eigvalsh(h)[0]


def slope(ts, values, low, high):
    """d log(values)/dt where low < values < high."""
    window = (values > low) & (values < high)
    assert window.sum() > 15
    return np.polyfit(ts[window], np.log(values[window]), 1)[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_late_rate_is_the_smallest_eigenvalue(seed, measured):
    """Predictions 19, 20: rate (seen 3e-7 off), twice that for the loss; envelope; min norm.

    Window: from 1e-7 of the first residual, where faster modes are gone, to 1e-11, ten times the
    rounding of the outputs.
    """
    flow = setting(seed)
    ts, residual, solution, w1, w2 = run(flow, 30.0)
    rate = slowest(flow, w1, w2)
    assert residual[-1] < 1e-12
    start = residual[0]
    fitted = -slope(ts, residual, 1e-11 * start, 1e-7 * start)
    measured(19, "fitted rate against lambda_min, relative", abs(fitted / rate - 1), below=1e-5)
    loss = np.asarray(solution.records["loss"])
    assert -slope(ts, loss, 1e-22 * loss[0], 1e-14 * loss[0]) == pytest.approx(2 * rate, rel=1e-5)
    # Control: the operator at t = 0 is another one.
    gap = abs(fitted / slowest(flow, *flow.weights) - 1)
    measured(19, "control, lambda_min at t = 0: relative", gap, above=0.05)
    # ||e(t)|| <= ||e(0)|| exp(-m sigma_min^2 t), m = b.w_2(0) - 1/2||W_1(0)||^2 >= 1/2||b||^2.
    b, x = flow.feedback[0], flow.inputs
    sigma = np.linalg.svd(x, compute_uv=False)[-1]
    envelope = start * np.exp(-0.5 * (b**2).sum() * sigma**2 * ts)
    measured(20, "||e|| above its envelope", np.max(residual - envelope), below=1e-12)
    off = np.linalg.norm(w1.T @ w2.T - np.linalg.pinv(x) @ flow.targets)
    measured(20, "distance to the minimum norm", off, below=1e-8)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_outside_the_data_span_the_limit_is_not_minimum_norm(seed, measured):
    """Prediction 21: w_0 = 0 is in the span and alignment >= 0, yet w(inf) is off by O(0.1).

    P w(inf) = P W_1(0) [w_2(0) + W_1(0)^T s + 1/2 b ||s||^2]: W_1 = W_1(0) + s b^T with s in the
    span, so P W_1 stays P W_1(0), and the bracket is w_2(inf) from w_2' = W_1^T s'.
    """
    flow = setting(seed, "gaussian", "zero")
    _, residual, _, w1, w2 = run(flow, 60.0)
    assert residual[-1] < 1e-10
    x, b = flow.inputs, flow.feedback[0][0]
    w = w1.T @ w2[0]
    w_min = (np.linalg.pinv(x) @ flow.targets)[:, 0]
    measured(21, "control, distance to the minimum norm", np.linalg.norm(w - w_min), above=0.05)
    start = flow.weights[0].T
    s = (w1.T - start) @ b / (b @ b)
    np.testing.assert_allclose(w1.T, start + np.outer(s, b), atol=1e-10)
    outside = np.eye(INPUTS) - np.linalg.pinv(x) @ x
    predicted = outside @ start @ (start.T @ s + 0.5 * b * (s @ s))
    measured(21, "P w(inf) against its formula", np.abs(outside @ w - predicted).max(), below=1e-10)
    assert np.linalg.norm(predicted) > 0.05


def whitened(seed):
    rng = np.random.default_rng(100 + seed)
    return np.linalg.qr(rng.standard_normal((INPUTS, SAMPLES)))[0].T


@pytest.mark.parametrize("seed", [0, 1])
def test_whitened_rows_from_zero(seed, measured):
    """Prediction 22: rate 3/2 2^(2/3) (||b|| u)^(2/3), u = ||X^T y||, and
    ||W_1(inf)|| = ||b|| (2u / ||b||^2)^(1/3)."""
    flow = setting(seed, "zero", "zero", whitened(seed))
    size, u = np.linalg.norm(flow.feedback[0]), np.linalg.norm(flow.inputs.T @ flow.targets)
    rate = 1.5 * 2 ** (2 / 3) * (size * u) ** (2 / 3)
    ts, residual, _, w1, w2 = run(flow, 40.0 / rate)
    assert residual[-1] < 1e-12
    fitted = -slope(ts, residual, 1e-10 * residual[0], 1e-4 * residual[0])
    measured(22, "fitted rate, relative", abs(fitted / rate - 1), below=1e-5)
    assert np.linalg.norm(w1) == pytest.approx(size * (2 * u / size**2) ** (1 / 3), rel=1e-9)
    # The residual never leaves y's direction, which is the fast one: three times lambda_min.
    assert rate == pytest.approx(3 * slowest(flow, w1, w2), rel=1e-8)


def test_control_rows_that_are_not_whitened(measured):
    flow = setting(0, "zero", "zero")
    size, u = np.linalg.norm(flow.feedback[0]), np.linalg.norm(flow.inputs.T @ flow.targets)
    _, _, _, w1, _ = run(flow, 30.0)
    off = abs(np.linalg.norm(w1) / (size * (2 * u / size**2) ** (1 / 3)) - 1)
    measured(22, "control, rows not whitened: ||W_1||, relative", off, above=0.1)
