"""Predictions 27-28: feedback alignment can be far from optimal, and can be optimal with another
representation (Garg & Vempala 2022; theory, section 4.6).

Y = U S V^T, B (r, n) gaussian, both limits known: Y P_{BY} of feedback alignment, the cut singular
value decomposition of gradient descent. That flows get there is measured on smaller Y.
"""

import equinox as eqx
import numpy as np
import pytest
from oracles import Flow, to_problem

from faflow.analysis import representation_overlap
from faflow.flow import Numerics, integrate
from faflow.solved import LambdaBalanced, exact_solution
from faflow.tasks import feedback_limit, make_task

NUMERICS = Numerics(rtol=1e-10, atol=1e-12)


def matrix(kind, **options):
    return np.asarray(make_task(kind, key=0, **options).data.targets).T


def error_ratio(y, product, rank):
    """||Y - Z W||^2 over the best of that rank (Eckart & Young)."""
    best = np.sum(np.linalg.svd(y, compute_uv=False)[rank:] ** 2)
    return np.linalg.norm(y - product) ** 2 / best


def end_of_flow(y, b, t1):
    """(W, Z) of feedback alignment at t1, from gaussian weights."""
    rng = np.random.default_rng(9)
    weights = tuple(0.1 * rng.standard_normal(s) for s in ((len(b), len(y)), (len(y), len(b))))
    flow = Flow("flow", weights, np.eye(len(y)), y.T, (b.T,), activation="linear")
    solution = integrate(to_problem(flow), np.array([0.0, t1]), {}, NUMERICS)
    return tuple(map(np.asarray, solution.weights.weights))


def end_of_gradient(y, rank, t1):
    """Q Q^T of gradient flow at t1, from orthonormal weights of scale 0.1, in closed form."""
    rng = np.random.default_rng(3)
    z, w = (0.1 * np.linalg.qr(rng.standard_normal((len(y), rank)))[0] for _ in range(2))
    flow = Flow("gd", (w.T, z), np.eye(len(y)), y.T, rule="gradient", activation="linear")
    solved = exact_solution(to_problem(flow))
    assert isinstance(solved, LambdaBalanced)
    return np.asarray(gram(solved, np.asarray(t1)))


@eqx.filter_jit
def gram(solved, t):
    return solved.gram(t)


@pytest.mark.parametrize(
    ("rank", "energy"), [(10, 1.0), (10, 0.1), (40, 1.0), (40, 0.1), (40, 0.02)]
)
def test_the_gap_is_unbounded(measured, rank, energy):
    """Prediction 27: err_FA^2 / opt^2 = 1 + sum_i 1 / (K + s_i(B_1)^2) ~ 1 + sqrt(r / K), the mean
    of 20 draws of B at N = 400; B_1 = B U_r is what B sees of the values 1."""
    y = matrix("separating-factorisation", rank=rank, tail=400, tail_energy=energy)
    left, singular, _ = np.linalg.svd(y)
    optimum = np.sum(singular[rank:] ** 2)
    assert optimum == pytest.approx(energy)
    found, told, blind = [], [], []
    for seed in range(20):
        b = np.random.default_rng(seed).standard_normal((rank, len(y)))
        found.append(np.linalg.norm(y - feedback_limit(y, b)) ** 2 / optimum)
        seen = np.linalg.svd(b @ left[:, :rank], compute_uv=False)
        told.append(1 + np.sum(1 / (energy + seen**2)))
        blind.append(1 + np.sum(1 / seen**2))
    where = f"r = {rank}, K = {energy:g}"
    apart = abs(np.mean(found) / np.mean(told) - 1)
    measured(27, f"{where}: mean error ratio over the formula's - 1", apart, below=0.02)
    rough = abs(np.mean(found) / (1 + np.sqrt(rank / energy)) - 1)
    measured(27, f"{where}: the same over 1 + sqrt(r / K)", rough, below=0.25)
    control = abs(np.mean(found) / np.mean(blind) - 1)
    measured(27, f"{where}: control, K left out of the sum", control, above=0.1)


def test_the_gap_of_a_flow(measured):
    """Prediction 27 by integration, r = 3, N = 30: the flow ends at Y P_BY; gradient flow at 1."""
    y = matrix("separating-factorisation", rank=3, tail=30, tail_energy=0.5)
    b = np.random.default_rng(1).standard_normal((3, len(y)))
    w, z = end_of_flow(y, b, 200.0)
    limit = feedback_limit(y, b)
    apart = np.linalg.norm(z @ w - limit) / np.linalg.norm(y)
    measured(27, "flow of 3 rows against its limit Y P_BY", apart, below=1e-8)
    ratio = error_ratio(y, z @ w, 3)
    assert ratio == pytest.approx(error_ratio(y, limit, 3), rel=1e-8)
    measured(27, "flow of 3 rows: error ratio", ratio, above=1.5)
    product = end_of_gradient(y, 3, 200.0)[len(y) :, : len(y)]
    measured(
        27,
        "gradient flow on the same Y: ratio - 1",
        abs(error_ratio(y, product, 3) - 1),
        below=1e-6,
    )


@pytest.mark.parametrize("size", [100, 400])
def test_equal_errors_by_other_representations(measured, size):
    """Prediction 28: r = 5, mean of 40 draws (single ones scatter by 30 %)."""
    y = matrix("near-identity-factorisation", size=size, spread=1e-3)
    best = np.linalg.svd(y)[2][:5]
    overlaps, ratios = [], []
    for seed in range(40):
        b = np.random.default_rng(seed).standard_normal((5, size))
        overlaps.append(representation_overlap(best, b @ y))
        if seed < 5:
            ratios.append(error_ratio(y, feedback_limit(y, b), 5))
    apart = abs(np.mean(overlaps) / (5 / size) - 1)
    measured(28, f"n = {size}: mean overlap over r / n - 1", apart, below=0.2)
    measured(28, f"n = {size}: error ratio - 1", np.abs(np.array(ratios) - 1).max(), below=1e-4)
    # Controls: a subspace with itself; and errors do differ where the spectrum does.
    assert representation_overlap(best, best[::-1]) == pytest.approx(1.0)
    wide = y @ np.diag(np.linspace(3.0, 1.0, size))
    ratio = error_ratio(wide, feedback_limit(wide, b), 5)
    measured(28, f"n = {size}: control, spread of 3: error ratio - 1", ratio - 1, above=1e-3)


def test_representations_of_flows(measured):
    """Prediction 28, n = 33, r = 3: feedback alignment integrated; gradient flow, which takes 1e6
    units of time to tell singular values 3e-5 apart, by its exact solution."""
    y = matrix("near-identity-factorisation", size=33, spread=1e-3)
    b, best = np.random.default_rng(3).standard_normal((3, 33)), np.linalg.svd(y)[2][:3]
    w, z = end_of_flow(y, b, 100.0)
    missing = abs(1 - representation_overlap(w, b @ y))
    measured(28, "flow: what the overlap of W with B Y lacks of 1", missing, below=1e-10)
    gram = end_of_gradient(y, 3, 1e6)[:33, :33]
    missing = abs(1 - representation_overlap(np.linalg.svd(gram)[2][:3], best))
    measured(28, "gradient flow: the same of W with V_r", missing, below=1e-10)
    assert representation_overlap(best, w) < 0.5
    assert error_ratio(y, z @ w, 3) == pytest.approx(1.0, abs=1e-3)
    early = end_of_gradient(y, 3, 100.0)[:33, :33]  # control: not yet told apart
    assert representation_overlap(np.linalg.svd(early)[2][:3], best) < 0.9
