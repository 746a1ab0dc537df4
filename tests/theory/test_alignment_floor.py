"""Prediction 14: <W_{l+1}, F>(t) >= <W_{l+1}, F>(0) - 1/2 ||W_l(0)||^2 (theory 2.12).

Because <W_{l+1}, F> - 1/2 ||W_l||^2 is kept and 1/2 ||W_l||^2 >= 0.
"""

from dataclasses import replace

import numpy as np
import pytest
from oracles import random_flow, to_problem
from whole import completed

from faflow.flow import Numerics
from faflow.observables import Alignment, Norms

WIDTHS = (4, 6, 6, 2)
OBSERVABLES = {"alignment": Alignment(), "norms": Norms()}


def corollary(seed, ratio, widths=WIDTHS, **kw):
    """W_{l+1}(0) = F_{l+1}, ||W_1(0)||_F = ratio * ||F_2||_F."""
    flow = random_flow(seed, widths, **kw)
    first = flow.weights[0]
    first = ratio * np.linalg.norm(flow.feedback[0]) / np.linalg.norm(first) * first
    return replace(flow, weights=(first, *flow.feedback))


def inner_products(flow, tolerance):
    problem = to_problem(flow)
    numerics = Numerics(solver="bosh3", rtol=tolerance, atol=tolerance / 100)
    solution = completed(problem, np.linspace(0.0, flow.t1, 81), OBSERVABLES, numerics)
    return np.asarray(solution.records["alignment"]["inner"]), solution


def floor(flow):
    pairs = zip(flow.weights[:-1], flow.weights[1:], flow.feedback, strict=True)
    return np.array([(w * f).sum() - 0.5 * (low**2).sum() for low, w, f in pairs])


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_inner_products_stay_above_the_floor(activation, seed, measured):
    """From arbitrary weights, every layer, to the solver's tolerance (ReLU slides: 1e-4 is what is
    affordable, and its drift is of that order)."""
    flow = random_flow(seed, WIDTHS, activation=activation)
    inner, solution = inner_products(flow, 1e-4 if activation == "relu" else 1e-8)
    slack = 1e-2 if activation == "relu" else 1e-6
    below = np.max(floor(flow)[None, :] - inner)
    measured(14, f"{activation}: furthest below the floor", below, below=slack)
    # The excess is 1/2 ||W_l(t)||^2 exactly: the floor is the law, not an estimate.
    norms = np.asarray(solution.records["norms"])[:, :-1]
    np.testing.assert_allclose(inner - floor(flow), 0.5 * norms**2, atol=slack)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_corollary_certifies_half_the_feedback(activation, seed, measured):
    """||W_1(0)|| <= ||F_2|| = ||W_2(0)||: <W_2, F_2> >= 1/2 ||F_2||^2 > 0."""
    flow = corollary(seed, 1.0, (4, 6, 2), activation=activation)
    inner, _ = inner_products(flow, 1e-4)
    half = 0.5 * (flow.feedback[0] ** 2).sum()
    furthest = np.max(half - inner[:, 0])
    measured(14, f"corollary, {activation}: furthest below ||F||^2 / 2", furthest, below=1e-2)


def against_the_start(seed, ratio, **kw):
    """Targets that ask for minus the initial map: the read-out is driven through zero."""
    flow = corollary(seed, ratio, (4, 6, 2), samples=30, activation="linear", **kw)
    return replace(flow, targets=-flow.inputs @ (flow.weights[1] @ flow.weights[0]).T)


def test_control_large_first_weights_lose_alignment(measured):
    """Beyond sqrt(2) nothing is certified, and alignment does turn negative."""
    flow = against_the_start(0, 3.0)
    inner, _ = inner_products(flow, 1e-7)
    share = -inner[:, 0].min() / (flow.feedback[0] ** 2).sum()
    measured(14, "control, ||W_1(0)|| = 3 ||F||: -<W, F> / ||F||^2", share, above=0.05)
    assert floor(flow)[0] < inner[:, 0].min() + 1e-4
    certified, _ = inner_products(against_the_start(0, 1.0), 1e-7)
    assert certified[:, 0].min() > 0.5 * (flow.feedback[0] ** 2).sum() - 1e-4


def test_control_tanh_falls_through_the_floor(measured):
    """No homogeneity, no law: saturated tanh (h phi' << phi) takes <W_2, F> far below."""
    flow = replace(against_the_start(0, 0.5), activation="tanh")
    flow = replace(flow, inputs=100 * flow.inputs, targets=0 * flow.targets)
    inner, _ = inner_products(flow, 1e-6)
    share = (floor(flow)[0] - inner[:, 0].min()) / (flow.feedback[0] ** 2).sum()
    measured(14, "control, tanh: below the floor, in ||F||^2", share, above=0.3)
