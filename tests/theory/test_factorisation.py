"""Predictions 24-26: feedback alignment on ||Z W - Y||_F (Garg & Vempala 2022; theory, section 4).

W = W_1 (r, m), Z = W_2 (n, r), inputs I_m, targets Y^T, B = F_2^T (r, n): Z' = E W^T, W' = B E,
E = Y - Z W; the network's residual is -E^T and its back-projection -(B E)^T.
"""

from dataclasses import replace

import numpy as np
import pytest
from oracles import Flow, to_problem
from whole import completed

from faflow.flow import Numerics
from faflow.observables import BackProjectedResidual, Residual

ROWS, COLUMNS, RANK = 7, 6, 3
OBSERVABLES = {"residual": Residual(), "back": BackProjectedResidual()}
TAIL = Numerics(tail=True, rtol=1e-9, atol=1e-12)


def setting(seed, width, scale, rank=RANK):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((ROWS, rank)) @ rng.standard_normal((rank, COLUMNS)) / rank**0.5
    w = scale * rng.standard_normal((width, COLUMNS))
    z = scale * rng.standard_normal((ROWS, width))
    b = rng.standard_normal((width, ROWS)) / width**0.5
    return Flow("factorisation", (w, z), np.eye(COLUMNS), y.T, (b.T,), activation="linear")


def run(flow, t1, numerics=TAIL, saves=201):
    ts = np.linspace(0.0, t1, saves)
    solution = completed(to_problem(flow), ts, OBSERVABLES, numerics)
    w, z = solution.weights.weights
    return ts, solution.records, w, z


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_back_projected_error_never_grows_from_zero(seed, width, measured):
    """Prediction 24: ||BE|| falls if C = W W^T - B Z - Z^T B^T = 0, r above or below rank(Y)."""
    _, records, _, _ = run(setting(seed, width, 0.0), 20.0)
    measured(24, "largest rise of ||B E||", np.diff(records["back"]).max(), below=1e-11)


def test_control_from_large_weights_both_errors_grow(measured):
    """C = 0 is needed: from scale 1 ||BE|| and ||E|| grow by percents on the way."""
    rises = {"back": [], "residual": []}
    for seed in range(6):
        _, records, _, _ = run(setting(seed, 4, 1.0), 20.0)
        for name, values in rises.items():
            rise = records[name] - np.minimum.accumulate(records[name])
            values.append(rise.max() / records[name][0])
    assert max(rises["residual"]) > 0.02
    measured(24, "control, from scale 1: relative rise", max(rises["back"]), above=0.02)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("width", [3, 4])
def test_wide_enough_it_converges_at_the_predicted_rate(seed, width, measured):
    """Prediction 25: r* = min Re spec((U^T Z B U) (x) I + I (x) (V^T W^T W V)), Y = U S V^T.

    From zero weights E stays U (.) V^T, so only that block of E' = -E W^T W - Z B E decays.
    """
    flow = setting(seed, width, 0.0)
    ts, records, w, z = run(flow, 60.0)
    y, b = flow.targets.T, flow.feedback[0].T
    u, _, vt = (
        part[:, :RANK] if i == 0 else part[:RANK] for i, part in enumerate(np.linalg.svd(y))
    )
    left, right = u.T @ z @ b @ u, vt @ w.T @ w @ vt.T
    spectrum = np.linalg.eigvals(left)[:, None] + np.linalg.eigvals(right)[None, :]
    rate = spectrum.real.min()
    residual = records["residual"]
    assert residual[-1] < 1e-11
    window = (residual > 1e-11 * residual[0]) & (residual < 1e-5 * residual[0])
    fitted = -np.polyfit(ts[window], np.log(residual[window]), 1)[0]
    measured(25, "fitted rate, relative", abs(fitted / rate - 1), below=5e-3)
    # Control: dropping the term of B (gradient descent's share alone) misses the rate.
    gap = abs(np.linalg.eigvals(right).real.min() / fitted - 1)
    measured(25, "control, without the term of B: relative", gap, above=0.1)


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_too_narrow_it_stops_at_the_sketch(scale, measured):
    """Prediction 26: r < rank(Y): Z W -> Y P_BY whatever W(0); the SVD optimum is not reached."""
    flow = setting(5, 2, scale, rank=5)
    y, b = flow.targets.T, flow.feedback[0].T
    _, records, w, z = run(flow, 400.0, Numerics(rtol=1e-11, atol=1e-13), saves=5)
    by = b @ y
    sketch = y @ np.linalg.pinv(by) @ by
    error = np.linalg.norm(y - sketch)
    off = abs(records["residual"][-1] / error - 1)
    measured(26, "||Y - Z W|| against ||Y (I - P_BY)||, relative", off, below=1e-8)
    np.testing.assert_allclose(z @ w, sketch, atol=1e-7)
    optimum = np.sqrt((np.linalg.svd(y, compute_uv=False)[2:] ** 2).sum())
    measured(26, "control, error over the SVD optimum", error / optimum, above=1.1)


def test_too_narrow_gradient_descent_reaches_the_best_rank():
    """Prediction 26: sqrt(sum_{i>r} s_i^2) (Eckart & Young) from small weights."""
    flow = replace(setting(5, 2, 0.1, rank=5), rule="gradient")
    _, records, _, _ = run(flow, 400.0, Numerics(rtol=1e-11, atol=1e-13), saves=5)
    singular = np.linalg.svd(flow.targets, compute_uv=False)
    assert records["residual"][-1] == pytest.approx(np.sqrt((singular[2:] ** 2).sum()), rel=1e-8)
