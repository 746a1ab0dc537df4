"""Sampled theory of deep nets: matrix equations and closed flows at phi = id, neurons at L = 1, the
lazy kernel, finite networks in plain numpy."""

import runpy
from functools import cache
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import lazy_kernel
from faflow.analysis.lazy import lazy_kernels
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
from faflow.wide.draws import layer_noise
from faflow.wide.marching import Theory, march

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((2, 4)), np.array([1.0, -0.7])
RICHNESS = 1.5
TWO = np.array([0.0, 1.0])
FA, DFA = "feedback-alignment", "direct-feedback-alignment"


@cache
def found(rule, hidden, phi="linear", steps=8, t1=0.5, rho=0.0, richness=RICHNESS, **more):
    ts = np.linspace(0, t1, steps + 1)
    given = {"particles": 512, "batches": 2} | more
    return dmft(X, Y, ts, hidden, phi, rule, rho=rho, richness=richness, **given)


# ---- linear nets: exact up to the step ----------------------------------------------------------


def test_linear_gradient_is_that_of_the_matrix_equations():
    """Same grid, same rule of quadrature: the draws are exact for what is linear in them."""
    ours = found("gradient", 3).mean
    given = make_data(X, Y), 3, jnp.asarray(RICHNESS), jnp.asarray(0.5), 9
    grid = jax.jit(gradient_on_grid, static_argnums=(1, 4))(*given)
    np.testing.assert_allclose(ours.outputs, grid.outputs, atol=1e-4)
    np.testing.assert_allclose(ours.features, grid.features, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(ours.other_outputs, grid.other_outputs, atol=1e-4)
    assert found("gradient", 3).error.outputs.max() < 1e-9


def closed(hidden, rho):
    limit = deep_linear(hidden, rho, RICHNESS)
    problem = FlowProblem(WideFeedbackAlignment(limit), limit.start(4), Feedback(), make_data(X, Y))
    see = {"f": OutputsAt(jnp.asarray(X)), "kernels": WideKernelsObserved()}
    records = integrate(problem, np.linspace(0, 0.5, 9), see).records
    return records["f"], records["kernels"].features, records["kernels"].alignments


def test_linear_feedback_alignment_is_the_closed_flow():
    """Second order in the step: grids of n and 2n steps, and their extrapolation."""
    once, twice = (found(FA, 3, rho=0.6, steps=n, particles=2048, batches=1).mean for n in (8, 16))
    f, features, alignments = (np.asarray(x) for x in closed(3, 0.6))
    coarse, fine = np.asarray(once.outputs) - f, np.asarray(twice.outputs)[::2] - f
    assert 3.3 < np.abs(coarse).max() / np.abs(fine).max() < 5
    assert np.abs((4 * fine - coarse) / 3).max() < 5e-4
    (a, h), (b, k) = (map(np.asarray, (x.alignments, x.features)) for x in (once, twice))
    gt = (4 * b[:, ::2, 0, 0] - a[:, :, 0, 0]) / 3
    np.testing.assert_allclose(gt.T, alignments, atol=5e-3)
    better = (4 * k[:, ::2] - h) / 3
    np.testing.assert_allclose(np.moveaxis(better, 0, 1), features, rtol=0.01, atol=5e-3)
    # Control: the power of rho is lost.
    assert np.abs(np.asarray(closed(3, 0.36)[0]) - f).max() > 0.03


@pytest.mark.parametrize(("rule", "rho"), [("gradient", 0.0), (FA, 0.6)])
def test_without_responses_it_is_wrong(rule, rho, monkeypatch):
    # Its program is made before there are none, and kept.
    size = {"particles": 2048, "batches": 1} if rule == FA else {}  # as above
    right = found(rule, 3, rho=rho, **size).mean.outputs
    monkeypatch.setattr(bonds, "response_of", lambda values, noise, others: jnp.zeros_like(values))
    given = (jnp.asarray(x, float) for x in (X @ X.T / 4, np.linspace(0, 0.5, 9), rho, RICHNESS))
    theory = Theory(rule, ACTIVATIONS["linear"](), make_data(X, Y), *given)
    noise = layer_noise(rule, 3, 9, 2, 512, 0)
    wrong = jax.jit(lambda x: march(theory, x)[1].outputs)(noise)
    assert np.abs(wrong - right).max() > 0.05


def test_points_that_are_not_learnt():
    """f there is kappa v . x; also at one of the samples once more, where fields are singular."""
    more = np.concatenate([RNG.standard_normal((1, 4)), X[:1]])
    ts = np.linspace(0, 1, 17)
    ours = dmft(X, Y, ts, 2, "linear", FA, rho=0.6, tests=more, particles=512, batches=1)
    limit = deep_linear(2, 0.6, 1.0)
    problem = FlowProblem(WideFeedbackAlignment(limit), limit.start(4), Feedback(), make_data(X, Y))
    f = integrate(problem, ts, {"f": OutputsAt(jnp.asarray(more))}).records["f"]
    np.testing.assert_allclose(ours.mean.outputs[:, 2:], f, atol=5e-3)
    np.testing.assert_allclose(ours.mean.outputs[:, 3], ours.mean.outputs[:, 0], atol=1e-6)
    assert np.abs(f[-1, 0]) > 0.1 and ours.mean.loss[-1] < 0.1 * ours.mean.loss[0]


# ---- nonlinear nets -----------------------------------------------------------------------------

SCRIPT = Path(__file__).parents[2] / "scripts" / "checks" / "wide_finite.py"
PROGRAM = runpy.run_path(str(SCRIPT))  # plain numpy, but for what it compares with
POINTS, AIMS = PROGRAM["inputs"], PROGRAM["targets"]


@cache
def sampled(rule, hidden, phi, rho=0.0, richness=RICHNESS, steps=8):
    ts = np.linspace(0, 1.6, steps + 1)
    more = {"rho": rho, "richness": richness, "particles": 1024, "batches": 4}
    return dmft(POINTS, AIMS, ts, hidden, phi, rule, **more)


def finite(rule, hidden, phi, rho, width, seeds):
    """f (seeds, T, P) of explicit networks."""
    ts = np.linspace(0, 1.6, 9)
    nets = (PROGRAM["Net"](rule, phi, hidden, width, rho, RICHNESS, seed) for seed in range(seeds))
    return np.array([net.run(ts, 1)[0] for net in nets])


def test_one_layer_is_that_of_neurons():
    """Another quadrature of the same limit, integrated otherwise."""
    each = neurons("gradient", ACTIVATIONS["tanh"](), jnp.asarray(POINTS), 2048, richness=RICHNESS)
    problem = FlowProblem(each.rule, each.network, each.feedback, make_data(POINTS, AIMS))
    ts, see = np.linspace(0, 1.6, 9), {"f": OutputsAt(jnp.asarray(POINTS))}
    f = integrate(problem, ts, see, Numerics(rtol=1e-6)).records["f"]
    once, twice = (sampled("gradient", 1, "tanh", steps=n) for n in (8, 16))
    better = (4 * twice.mean.outputs[::2] - once.mean.outputs) / 3
    np.testing.assert_allclose(better, f, atol=6e-3)  # some four standard errors
    other = (4 * twice.mean.other_outputs[::2] - once.mean.other_outputs) / 3
    np.testing.assert_allclose(other, f, atol=6e-3)
    assert once.error.outputs.max() < 2e-3


NETS = [
    (FA, "tanh", 0.5),
    ("gradient", "relu", 0.0),
    pytest.param(DFA, "relu", 0.0, marks=pytest.mark.slow),
    pytest.param("hebbian", "tanh", 0.0, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("rule", "phi", "rho"), NETS)
def test_finite_networks_lie_around_it(rule, phi, rho):
    ours, nets = sampled(rule, 2, phi, rho), finite(rule, 2, phi, rho, 200, 32)
    spread = np.hypot(nets.std(axis=0, ddof=1)[1:] / 32**0.5, ours.error.outputs[1:])
    off = np.abs(nets.mean(axis=0) - ours.mean.outputs)[1:]
    assert np.all(off < 4 * spread + 0.01)  # the step's error
    assert spread.max() < 0.03


@pytest.mark.parametrize("rho", [0.5, 0.0])
def test_small_richness_is_the_lazy_kernel(rho):
    ours = sampled(FA, 2, "tanh", rho, 0.02).mean
    phi = ACTIVATIONS["tanh"]()
    points = jnp.asarray(POINTS)

    lazy = lazy_kernels(phi, points, 2)
    kernel, other = (lazy_kernel(FA, phi, points, 2, r) for r in (rho, rho**0.5))
    features, gradients, pseudo = (
        np.asarray(x)[:, -1] for x in (ours.features, ours.gradients, ours.pseudo)
    )
    np.testing.assert_allclose(features, np.stack(lazy.features), atol=0.01)
    np.testing.assert_allclose(gradients, np.stack(lazy.gradients), atol=0.02)
    np.testing.assert_allclose(pseudo, np.stack(lazy.gradients), atol=0.02)
    tangent = np.asarray(ours.tangent)[-1]
    np.testing.assert_allclose(tangent, kernel, atol=0.02)
    assert rho == 0 or np.abs(tangent - np.asarray(other)).max() > 0.1


def test_signals_align_more_where_features_move_more():
    """corr(g, gt) of direct feedback from 0 at the start; the more of it, the larger gamma_0."""
    ends = []
    for richness in (0.2, 1.0, 3.0):
        ours = sampled(DFA, 3, "tanh", richness=richness)
        assert np.abs(ours.mean.correlation[:, 0]).max() < 0.02
        ends.append((ours.mean.correlation[:, -1].mean(), ours.error.correlation[:, -1].mean()))
    for (less, e), (more, d) in pairwise(ends):
        assert more - less > 4 * np.hypot(e, d)


def test_two_times():
    """At equal times those of the march; the backward ones of FA are not symmetric."""
    ours = dmft(X, Y, np.linspace(0, 1, 5), 2, "tanh", FA, particles=512, batches=2, two_times=True)
    assert ours.two_times is not None
    same = np.arange(5)
    for name in ("features", "gradients", "alignments"):
        given = np.moveaxis(np.asarray(getattr(ours.two_times, name))[:, same, :, same], 0, 1)
        np.testing.assert_allclose(given, getattr(ours.mean, name), atol=1e-12)
    gt = np.asarray(ours.two_times.alignments[1]).reshape(10, 10)
    assert np.abs(gt - gt.T).max() > 0.01


@pytest.mark.parametrize(
    ("bad", "name"),
    [({"rule": "sign"}, "rule"), ({"hidden": 0}, "hidden"), ({"rho": 2.0}, "rho"),
     ({"rule": DFA, "rho": 0.5}, "rho"), ({"richness": 0.0}, "richness"),
     ({"particles": 100}, "particles"), ({"batches": 0}, "batches"),
     ({"memory": 1e5}, "particles"), ({"ts": 1 + TWO}, "ts"),
     ({"activation": "x"}, "activation"), ({"targets": np.ones((2, 2))}, "targets"),
     ({"tests": np.ones((2, 3))}, "tests")],
)  # fmt: skip
def test_what_is_refused(bad, name):
    given = {"inputs": X, "targets": Y, "ts": TWO, "hidden": 2, "activation": "tanh"}
    with pytest.raises(ValueError, match=f"`{name}` must"):
        dmft(**(given | {"rule": "gradient"} | bad))


def test_what_would_do_is_told():
    with pytest.raises(ValueError, match="take 256"):
        dmft(X, Y, TWO, 1, "tanh", particles=1024, memory=2e5)
