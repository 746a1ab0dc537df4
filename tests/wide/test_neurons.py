"""Quasi-random neurons: the closed flow, the lazy kernel, finite networks, and their own error."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow._compiling import LOOP, compiled
from faflow.analysis import lazy_kernel
from faflow.feedback import Feedback
from faflow.flow import FlowError, FlowProblem, Numerics, integrate, solve
from faflow.networks import ACTIVATIONS
from faflow.rules import as_matrix, effective_kernel
from faflow.tasks import make_data
from faflow.wide import OutputsAt, WideFeedbackAlignment, deep_linear, neurons

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((3, 4)), np.array([1.0, -0.6, 0.4])
TIMES = jnp.asarray([0.0, 0.5, 1.5])
DATA = make_data(X, Y)


@compiled(LOOP)
def outputs(rule, nets, feedbacks):
    def flow(net, feedback):
        numerics = Numerics(step=0.05)  # kinks make adaptive steps small
        see = {"f": OutputsAt(DATA.inputs)}
        return solve(FlowProblem(rule, net, feedback, DATA), TIMES, see, numerics).records["f"]

    return jax.lax.map(lambda given: flow(*given), (nets, feedbacks))


@cache
def runs(rule, phi, count, seeds, draw="sobol", rho=0.6, richness=1.5, gated=False):
    """f (seeds, times, samples). Gates are drawn from a static seed: one program each."""
    each = [
        neurons(rule, ACTIVATIONS[phi](), jnp.asarray(X), count, rho=rho, richness=richness,
                seed=seed, draw=draw, gated=gated)
        for seed in range(seeds)
    ]  # fmt: skip
    stack = lambda trees: jax.tree.map(lambda *leaves: np.stack(leaves), *trees)  # noqa: E731
    if gated:
        parts = [outputs(e.rule, stack([e.network]), stack([e.feedback])) for e in each]
        return np.concatenate(parts)
    found = outputs(
        each[0].rule, stack([e.network for e in each]), stack([e.feedback for e in each])
    )
    return np.asarray(found)


def closed(rho, richness=1.5):
    limit = deep_linear(1, rho, richness)
    problem = FlowProblem(WideFeedbackAlignment(limit), limit.start(4), Feedback(), DATA)
    return np.asarray(integrate(problem, TIMES, {"f": OutputsAt(DATA.inputs)}).records["f"])


def test_linear_neurons_are_the_closed_flow():
    found = runs("feedback-alignment", "linear", 2048, 2)
    assert np.abs(found[:, 0]).max() < 1e-14  # mirror images
    np.testing.assert_allclose(found.mean(axis=0), closed(0.6), atol=2e-3)
    # Controls: another rho, and neurons drawn at random.
    assert np.abs(found - closed(0.0)).max() > 0.03
    plain = runs("feedback-alignment", "linear", 2048, 2, "random")
    assert np.abs(plain - closed(0.6)).max() > 4 * np.abs(found - closed(0.6)).max()


def test_doubling_the_neurons_halves_the_square_error_at_least():
    theory = closed(0.6)
    few, many = (
        np.mean((runs("feedback-alignment", "linear", n, 8) - theory) ** 2) for n in (64, 512)
    )
    assert few / many > 8


@pytest.mark.parametrize(
    ("rule", "phi"), [("feedback-alignment", "relu"), ("hebbian", "tanh"), ("gradient", "tanh")]
)
def test_finite_networks_lie_around_it(rule, phi):
    """The mean of 32 networks of 256 neurons, in its own standard errors; at small sizes the
    expected distance is O(1/N)."""
    finite, wide = runs(rule, phi, 256, 32, "random"), runs(rule, phi, 2048, 4)
    error = wide.std(axis=0, ddof=1)[1:] / 2
    assert error.max() < 0.01 * np.abs(wide).max()
    spread = np.hypot(finite.std(axis=0, ddof=1)[1:] / 32**0.5, error)
    off = np.abs(finite.mean(axis=0) - wide.mean(axis=0))[1:]
    assert np.all(off < 4 * spread)
    # Control: the read-out alone (lazy features), f' = Phi^1 Delta.
    kernel = np.asarray(lazy_kernel("last-layer-only", ACTIVATIONS[phi](), jnp.asarray(X), 1))
    values, axes = np.linalg.eigh(kernel)
    lazy = Y - axes @ (np.exp(-1.5 * values) * (axes.T @ Y))
    assert np.max(np.abs(wide.mean(axis=0)[-1] - lazy) / spread[-1]) > 10


def test_adaptive_steps_over_kinks():
    """At the tolerances told they are as good as the draws; at those of other flows, neurons that
    slide on their kinks take up 5000 steps."""
    inputs, see = jnp.asarray(X), {"f": OutputsAt(DATA.inputs)}
    each = neurons("feedback-alignment", ACTIVATIONS["relu"](), inputs, 256, rho=0.6, richness=1.5)
    problem = FlowProblem(each.rule, each.network, each.feedback, DATA)
    flow = integrate(problem, TIMES, see, Numerics(**each.tolerances, max_steps=5000))
    fixed = runs("feedback-alignment", "relu", 256, 2)[0]
    np.testing.assert_allclose(flow.records["f"], fixed, atol=2e-3)
    with pytest.raises(FlowError, match="max_steps"):
        integrate(problem, TIMES, see, Numerics(rtol=1e-9, atol=1e-11, max_steps=5000))


def test_direct_feedback_is_that_of_one_layer():
    direct = runs("direct-feedback-alignment", "relu", 256, 2)
    np.testing.assert_allclose(direct, runs("feedback-alignment", "relu", 256, 2), rtol=1e-6)


def test_gates_at_the_start():
    """K(0) of gated neurons is (1 + 1) <phi' phi'> K^x, within S^{-1/2}."""
    kernels = []
    for seed in range(4):
        each = neurons(
            "gradient", ACTIVATIONS["relu"](), jnp.asarray(X), 2048, seed=seed, gated=True
        )
        kernels.append(as_matrix(effective_kernel(each.rule, each.network, each.feedback, DATA)))
    expected = np.asarray(lazy_kernel("gated", ACTIVATIONS["relu"](), jnp.asarray(X), 1))
    size = np.abs(expected).max()
    assert np.abs(np.mean(kernels, axis=0) - expected).max() < 0.05 * size
    assert np.abs(np.mean(kernels, axis=0) - 2 * X @ X.T / 4).max() > 0.3 * size


def test_small_richness_is_the_lazy_kernel():
    """f(t) = (1 - e^{-Kt}) y with K = Phi^1 + rho G^1 Phi^0; without rho it is another."""
    found = runs("feedback-alignment", "tanh", 1024, 2, richness=0.02).mean(axis=0)[-1]

    def lazy(rho):
        kernel = lazy_kernel("feedback-alignment", ACTIVATIONS["tanh"](), jnp.asarray(X), 1, rho)
        values, axes = np.linalg.eigh(np.asarray(kernel))
        return Y - axes @ (np.exp(-1.5 * values) * (axes.T @ Y))

    np.testing.assert_allclose(found, lazy(0.6), atol=5e-3)
    assert np.abs(found - lazy(0.0)).max() > 0.03


@pytest.mark.parametrize(
    ("bad", "name"),
    [({"count": 3}, "count"), ({"rule": "sign"}, "rule"), ({"rho": 2.0}, "rho"),
     ({"richness": 0.0}, "richness")],
)  # fmt: skip
def test_what_is_refused(bad, name):
    given = {"rule": "gradient", "count": 8} | bad
    rule, count = given.pop("rule"), given.pop("count")
    with pytest.raises(ValueError, match=f"`{name}` must"):
        neurons(rule, ACTIVATIONS["relu"](), jnp.asarray(X), count, **given)
