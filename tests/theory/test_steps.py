"""Predictions 8-9: what a finite step does to the laws.

Any Runge-Kutta method (A, b) moves Q by exactly (theory 2.11)
    1/2 h^2 sum_ij (b_i b_j - b_i a_ij - b_j a_ji) <k_i, k_j>,   k_i the stage velocities of W_l,
since Q is quadratic and its other half is linear in what the law pairs. Euler: 1/2 h^2 ||g_l||^2.
"""

import diffrax
import numpy as np
import oracles
import pytest
from oracles import random_flow, to_problem
from whole import completed

from faflow.flow import Numerics
from faflow.solvers import GaussLegendre

WIDTHS = (3, 6, 5, 2)


class RK4(diffrax.AbstractERK):
    """Kutta's classical method: not in faflow's registry, passed as a diffrax solver."""

    tableau = diffrax.ButcherTableau(
        c=np.array([0.5, 0.5, 1.0]),
        b_sol=np.array([1, 2, 2, 1]) / 6,
        b_error=np.zeros(4),
        a_lower=(np.array([0.5]), np.array([0, 0.5]), np.array([0, 0, 1.0])),
    )
    interpolation_cls = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        return 4


TABLEAUX = {
    "euler": (np.zeros((1, 1)), np.ones(1)),
    "heun": (np.array([[0, 0], [1, 0]]), np.array([0.5, 0.5])),
    "rk4": (np.diag([0.5, 0.5, 1.0], -1), np.array([1, 2, 2, 1]) / 6),
}


GAUSS = {"implicit-midpoint": 1, "gauss4": 2, "gauss6": 3}


def drifts(flow, solver, steps):
    """Q(t1) - Q(0) of every neuron after so many equal steps."""
    problem = to_problem(flow)
    law = problem.rule.laws(problem.weights)["neuron-balance"]
    if flow.activation == "relu" and solver in GAUSS:
        method = GaussLegendre(GAUSS[solver], strict=False)  # a kinked field may have no stages
    else:
        method = RK4() if solver == "rk4" else solver
    numerics = Numerics(solver=method, step=flow.t1 / steps)
    solution = completed(problem, [0.0, flow.t1], {"law": law}, numerics)
    assert solution.counts.accepted == steps
    return np.concatenate([q[-1] - q[0] for q in solution.records["law"]])


def identity(flow, tableau, steps):
    """The same by the identity above, along the method's own numpy trajectory."""
    a, b = tableau
    h, state = flow.t1 / steps, flow.state
    m = np.outer(b, b) - b[:, None] * a - (b[:, None] * a).T
    total = [np.zeros(width) for width in WIDTHS[1:-1]]
    for _ in range(steps):
        k = np.zeros((len(b), state.size))
        for i in range(len(b)):
            k[i] = oracles.field(0.0, state + h * a[i, :i] @ k[:i], flow)
        stages = [flow.at(stage) for stage in k]
        for l, drift in enumerate(total):
            moves = np.stack([stage.weights[l] for stage in stages])
            pairs = np.einsum("inm,jnm,ij->n", moves, moves, m)
            if flow.biases:
                shifts = np.stack([stage.biases[l] for stage in stages])
                pairs += np.einsum("in,jn,ij->n", shifts, shifts, m)
            drift += 0.5 * h**2 * pairs
        state = state + h * b @ k
    return np.concatenate(total)


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("bias", [False, True])
def test_drift_is_the_identity_of_the_method(solver, activation, bias, measured):
    """Prediction 8, ReLU or not: equal to rounding, per neuron."""
    flow = random_flow(0, WIDTHS, activation=activation, bias=bias, scale=0.5)
    drift, expected = drifts(flow, solver, 40), identity(flow, TABLEAUX[solver], 40)
    np.testing.assert_allclose(drift, expected, rtol=1e-12, atol=1e-14)
    name = f"{solver}, {activation}{', biases' if bias else ''}: drift of a flow"
    measured(8, f"{name} - identity", np.abs(drift - expected).max(), below=1e-13)
    assert np.abs(expected).max() > 1e-7  # the identity is not one of zeros
    if solver == "euler":
        measured(8, f"{name}: most negative", -drift.min(), below=1e-15)  # a dead ReLU stays put
        other = identity(flow, TABLEAUX["heun"], 40)
        miss = np.abs(drift - other).max() / np.abs(drift).max()
        measured(8, f"{name} - the identity of another method", miss, above=0.5)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_euler_drift_halves_with_the_step_and_grows(activation, measured):
    """Prediction 8: 1/2 h^2 sum ||g||^2 ~ h/2 int ||g||^2 dt, and >= 0 for every neuron."""
    flow = random_flow(1, WIDTHS, activation=activation, scale=0.5)
    coarse, fine = drifts(flow, "euler", 512), drifts(flow, "euler", 1024)
    assert min(coarse.min(), fine.min()) > -1e-15
    off = abs(coarse.sum() / fine.sum() - 2)
    measured(8, f"Euler, {activation}: |ratio of drifts at h and h/2 - 2|", off, below=0.01)


SMOOTH = {"linear": {"scale": 0.5}, "quadratic": {"scale": 0.3, "t1": 0.15}}


def order(solver, activation, seeds, steps):
    """The slope of log(mean |drift|) against log h, and the drifts."""
    options, sizes = SMOOTH.get(activation, {"scale": 0.5}), []
    for count in steps:
        flows = (random_flow(seed, WIDTHS, activation=activation, **options) for seed in seeds)
        sizes.append(np.mean([np.abs(drifts(flow, solver, count)).mean() for flow in flows]))
    return -np.polyfit(np.log(steps), np.log(sizes), 1)[0], sizes


@pytest.mark.parametrize(
    ("solver", "expected"), [("euler", 1), ("heun", 3), ("bosh3", 3), ("rk4", 4)]
)
@pytest.mark.parametrize("activation", SMOOTH)
def test_drift_order_of_smooth_nets(solver, expected, activation, measured):
    """Prediction 9. Heun: m = (1/4) [[1, -1], [-1, 1]] and k_2 - k_1 = O(h), so h^4 a step.

    Window: from 64 steps, where h lambda < 0.3, to 256, where the smallest drift (RK4's) is still
    far above rounding, 1e-16.
    """
    fitted, _ = order(solver, activation, [0, 1], [64, 91, 128, 181, 256])
    off = abs(fitted - expected)
    measured(9, f"{solver}, {activation}: |drift order - {expected}|", off, below=0.2)


@pytest.mark.parametrize("solver", ["implicit-midpoint", "gauss4", "gauss6"])
@pytest.mark.parametrize("activation", SMOOTH)
def test_gauss_methods_keep_the_laws_to_rounding(solver, activation, measured):
    """Prediction 9: m = 0, flat in h; Heun at the same steps is the control."""
    _, sizes = order(solver, activation, [0, 1], [64, 256])
    measured(9, f"{solver}, {activation}: mean drift", max(sizes), below=2e-15)
    control = min(order("heun", activation, [0, 1], [64, 256])[1])
    measured(9, f"Heun at the steps of {solver}, {activation}: mean drift", control, above=5e-12)


@pytest.mark.parametrize(
    "solver", ["heun", "bosh3", "rk4", "implicit-midpoint", "gauss4", "gauss6"]
)
def test_relu_takes_every_method_to_order_one(solver, measured):
    """Prediction 9: h^2 at each of O(1) kinks... summed over sliding pairs: h. Ten seeds: one alone
    is noisy, since whether a step straddles a kink jumps with h."""
    fitted, sizes = order(solver, "relu", range(10), [32, 64, 128, 256, 512])
    measured(9, f"{solver}, ReLU: |drift order - 1|", abs(fitted - 1), below=0.25)
    assert min(sizes) > 1e-6
