"""Prediction 29: FA*, our reading: Z = argmin ||Y - Z W|| = Y W^T (W W^T)^{-1}, W' = B (Y - Z W).

W (r, m) is W_1, inputs I_m, targets Y^T, B = F_2^T (theory 4.5).
"""

import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Flow, to_problem
from rates import jitted_relative_rate as relative_rate
from scipy.integrate import solve_ivp
from whole import completed

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics
from faflow.networks import MLP
from faflow.observables import Residual
from faflow.observables.abstract import AbstractObservable
from faflow.rules import FAStar
from faflow.tasks import make_data

ROWS, COLUMNS = 7, 6


class FirstWeights(AbstractObservable):
    label: str = "W_1"
    axes: tuple[str, ...] = ("out", "in")

    def __call__(self, weights, feedback, data):
        return weights.weights[0]


def setting(seed, width, rank):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((ROWS, rank)) @ rng.standard_normal((rank, COLUMNS)) / rank**0.5
    return y, rng.standard_normal((width, COLUMNS)), rng.standard_normal((width, ROWS)) / ROWS**0.5


def problem(y, w, b):
    network = MLP((jnp.asarray(w), jnp.zeros((ROWS, len(w)))))
    data = make_data(np.eye(COLUMNS), y.T)
    return FlowProblem(FAStar(), network, Feedback((jnp.asarray(b.T),), "layerwise"), data)


def run(y, w, b, t1, **options):
    options = {"rtol": 1e-10, "atol": 1e-12, **options}
    ts = np.linspace(0.0, t1, 101)
    observables = {"residual": Residual(), "w": FirstWeights()}
    solution = completed(problem(y, w, b), ts, observables, Numerics(**options))
    return ts, solution.records["residual"], solution.records["w"]


def optimum(y, w):
    return y @ w.T @ np.linalg.inv(w @ w.T)


def test_trajectory_is_that_of_the_equations():
    y, w, b = setting(0, 3, 5)
    ts, _, path = run(y, w, b, 3.0)

    def field(t, flat):
        now = flat.reshape(w.shape)
        return (b @ (y - optimum(y, now) @ now)).ravel()

    exact = solve_ivp(field, (0, 3.0), w.ravel(), "DOP853", ts, rtol=1e-12, atol=1e-13).y.T
    np.testing.assert_allclose(path.reshape(len(ts), -1), exact, atol=1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_gram_matrix_is_kept_and_alignment_grows(seed, measured):
    """(W W^T)' = 0 as E W^T = 0; tr(B Z W W^T)' = ||B Y (I - P_W)||^2 >= 0."""
    y, w, b = setting(seed, 3, 5)
    star = problem(y, w, b)
    laws = star.rule.laws(star.weights)
    rate = max(relative_rate(laws["matrix-balance"], star))
    measured(29, "rate of W W^T", rate, below=1e-12)
    _, _, path = run(y, w, b, 20.0)
    np.testing.assert_allclose(
        path @ path.swapaxes(1, 2), np.broadcast_to(w @ w.T, (101, 3, 3)), atol=1e-8
    )
    alignment = np.array([np.trace(b @ y @ now.T) for now in path])  # Z W W^T = Y W^T
    measured(29, "largest fall of tr(B Z W W^T)", -np.diff(alignment).min(), below=1e-9)
    assert alignment[-1] - alignment[0] > 0.5


def test_control_feedback_alignment_moves_the_gram_matrix(measured):
    y, w, b = setting(0, 3, 5)
    flow = Flow("fa", (w, np.zeros((ROWS, 3))), np.eye(COLUMNS), y.T, (b.T,), activation="linear")
    plain = to_problem(flow)
    law = FAStar().laws(plain.weights)["matrix-balance"]
    measured(29, "control, FA: rate of W W^T", relative_rate(law, plain)[0], above=0.1)


def test_one_row_turns_as_in_closed_form():
    """r = 1, a = B Y: tan(theta/2) = tan(theta_0/2) exp(-||a|| t / ||w_0||)."""
    y, w, b = setting(2, 1, 4)
    ts, _, path = run(y, w, b, 4.0)
    a = (b @ y)[0]
    cosine = path[:, 0] @ a / (np.linalg.norm(path[:, 0], axis=1) * np.linalg.norm(a))
    half = np.tan(np.arccos(cosine) / 2)
    decay = np.exp(-np.linalg.norm(a) / np.linalg.norm(w) * ts)
    np.testing.assert_allclose(half, half[0] * decay, rtol=1e-6, atol=1e-7)
    assert np.abs(half - half[0] * decay**2).max() > 0.05  # control: the exponent is not twice that


@pytest.mark.parametrize("seed", [5, 6, 9])
def test_rate_is_the_spectrum_of_b_z(seed, measured):
    """r = rank(Y) = 2: E -> 0 at min Re eig(B Z(inf)).

    Seed 5 has eigenvalues rho +- i omega: the residual wobbles with period pi / omega, so the slope
    is taken over a whole number of them. Window: 1e-5 to 1e-10 of the first residual.
    """
    y, w, b = setting(seed, 2, 2)
    ts, residual, path = run(y, w, b, 60.0, tail=True, rtol=1e-9)
    assert residual[-1] < 1e-12
    eigenvalues = np.linalg.eigvals(b @ optimum(y, path[-1]))
    rate, omega = eigenvalues.real.min(), np.abs(eigenvalues.imag).max()
    level = np.log(residual / residual[0])
    start, end = (np.interp(-np.log(10.0) * n, level[::-1], ts[::-1]) for n in (5, 10))
    period = np.pi / omega if omega else end - start
    end = start + period * max(1, (end - start) // period)
    fitted = -np.diff(np.interp([start, end], ts, level))[0] / (end - start)
    measured(29, "fitted rate, relative", abs(fitted / rate - 1), below=5e-3)
    # Control: the rate is not that of the first weights.
    assert abs(np.linalg.eigvals(b @ optimum(y, w)).real.min() / fitted - 1) > 0.1
