"""Sampled theory of deep nets: matrix equations and closed flows at phi = id, neurons at L = 1, the
lazy kernel, finite networks in plain numpy."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import lazy_kernel, lazy_kernels
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.networks import ACTIVATIONS
from faflow.tasks import make_data
from faflow.wide import (
    OutputsAt,
    WideFeedbackAlignment,
    WideKernelsObserved,
    bonds,
    deep_linear,
    dmft,
    gradient_on_grid,
    neurons,
)
from faflow.wide.dmft import _batch

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((2, 4)), np.array([1.0, -0.7])
RICHNESS = 1.5
FA, DFA = "feedback-alignment", "direct-feedback-alignment"


@cache
def found(rule, hidden, phi="linear", steps=8, t1=1.0, rho=0.0, richness=RICHNESS, **more):
    ts = np.linspace(0, t1, steps + 1)
    given = {"particles": 512, "batches": 2} | more
    return dmft(X, Y, ts, hidden, phi, rule, rho=rho, richness=richness, **given)


# ---- linear nets: exact up to the step ----------------------------------------------------------


def test_linear_gradient_is_that_of_the_matrix_equations():
    """Same grid, same rule of quadrature: the draws are exact for what is linear in them."""
    ours = found("gradient", 3).mean
    grid = gradient_on_grid(make_data(X, Y), 3, jnp.asarray(RICHNESS), jnp.asarray(1.0), 9)
    np.testing.assert_allclose(ours.outputs, grid.outputs, atol=1e-4)
    np.testing.assert_allclose(ours.features, grid.features, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(ours.other_outputs, grid.other_outputs, atol=1e-4)
    assert found("gradient", 3).error.outputs.max() < 1e-9


def closed(hidden, rho):
    limit = deep_linear(hidden, rho, RICHNESS)
    problem = FlowProblem(WideFeedbackAlignment(limit), limit.start(4), Feedback(), make_data(X, Y))
    see = {"f": OutputsAt(jnp.asarray(X)), "kernels": WideKernelsObserved()}
    records = integrate(problem, np.linspace(0, 1, 9), see).records
    return records["f"], records["kernels"].features, records["kernels"].alignments


@pytest.mark.parametrize(("rule", "rho"), [(FA, 0.6), (DFA, 0.0)])
def test_linear_feedback_alignment_is_the_closed_flow(rule, rho):
    """Second order in the step: grids of n and 2n steps, and their extrapolation."""
    once, twice = (found(rule, 3, rho=rho, steps=n).mean for n in (8, 16))
    f, features, alignments = (np.asarray(x) for x in closed(3, rho))
    coarse, fine = np.asarray(once.outputs) - f, np.asarray(twice.outputs)[::2] - f
    assert 3.3 < np.abs(coarse).max() / np.abs(fine).max() < 5
    assert np.abs((4 * fine - coarse) / 3).max() < 5e-4
    gt = (4 * np.asarray(twice.alignments)[:, ::2, 0, 0] - once.alignments[:, :, 0, 0]) / 3
    np.testing.assert_allclose(gt.T, alignments, atol=5e-3)
    h = (4 * np.asarray(twice.features)[:, ::2] - once.features) / 3
    np.testing.assert_allclose(np.moveaxis(h, 0, 1), features, rtol=0.01, atol=5e-3)
    # Control: the power of rho is lost.
    assert rho == 0 or np.abs(np.asarray(closed(3, rho**2)[0]) - f).max() > 0.05


@pytest.mark.parametrize(("rule", "rho"), [("gradient", 0.0), (FA, 0.6)])
def test_without_responses_it_is_wrong(rule, rho, monkeypatch):
    right = found(rule, 3, rho=rho).mean.outputs
    monkeypatch.setattr(bonds, "heard", lambda values, noise, others: jnp.zeros_like(values))
    monkeypatch.setattr("faflow.wide.dmft._batch", lambda *given: _batch(*given))
