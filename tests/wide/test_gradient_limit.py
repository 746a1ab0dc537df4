"""Matrix equations of the gradient: the closed whitened solution, both routes to f, finite nets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from faflow._compiling import LOOP, compiled
from faflow.analysis import lazy_kernel
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, solve
from faflow.networks import ACTIVATIONS, INITIALISATIONS, initial_network
from faflow.rules import Gradient, MeanFieldRates
from faflow.tasks import make_data
from faflow.wide import OutputsAt, gradient_limit

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((2, 4)), np.array([1.0, -0.7])
GAMMA = 1.5


@pytest.fixture(scope="module")
def deep():
    return {l: gradient_limit(make_data(X, Y), l, GAMMA, 1.0, times=8) for l in (1, 2, 3)}


def test_one_layer_whitened_is_the_closed_solution():
    """Delta' = -2 sqrt(1 + g (y - Delta)^2) Delta to 1e-6; without the factor 2 it is far off."""
    x, y = 2**0.5 * np.eye(2), np.array([0.6, 0.8])
    found = gradient_limit(make_data(x, y), 1, GAMMA, 1.0, times=16)
    gap = 1 - found.outputs @ y

    def closed(factor):
        field = lambda t, d: -factor * np.sqrt(1 + GAMMA**2 * (1 - d) ** 2) * d  # noqa: E731
        return solve_ivp(field, (0, 1), [1.0], "DOP853", found.ts, rtol=1e-12, atol=1e-13).y[0]

    np.testing.assert_allclose(gap, closed(2), atol=1e-6)
    assert np.abs(gap - closed(1)).max() > 0.1
    root = np.sqrt(1 + GAMMA**2 * (1 - closed(2)) ** 2)
    np.testing.assert_allclose(found.gradients[0], root, atol=1e-5)
    np.testing.assert_allclose(np.einsum("i,tij,j->t", y, found.features[1], y), root, atol=1e-5)


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_both_routes_to_f(deep, hidden):
    """int K Delta dt = <z h^L> / g0: they share no sum beyond the layers' own."""
    found = deep[hidden]
    np.testing.assert_allclose(found.other_outputs, found.outputs, atol=1e-4)
    assert np.abs(found.outputs[-1]).max() > 0.3
    start = (hidden + 1) * X @ X.T / 4
    np.testing.assert_allclose(found.tangent[0], start, rtol=1e-10)


def test_the_relative_change_of_the_kernel_at_small_richness():
    """It grows as g0^2: a factor 100 for 10; and the kernel goes to the lazy one."""
    data, changes = make_data(X, Y), []
    lazy = np.asarray(lazy_kernel("gradient", ACTIVATIONS["linear"](), jnp.asarray(X), 2))
    for richness in (0.01, 0.1):
        found = gradient_limit(data, 2, richness, 1.0, times=8)
        changes.append(np.linalg.norm(found.tangent[-1] - lazy) / np.linalg.norm(lazy))
    assert changes[0] < 1e-3 and abs(changes[1] / changes[0] - 100) < 5


@compiled(LOOP)
def finite(seeds, widths, data, ts):
    rule, see = MeanFieldRates(Gradient(), GAMMA), {"f": OutputsAt(data.inputs)}
    init, phi = INITIALISATIONS["mean-field"](GAMMA), ACTIVATIONS["linear"]()

    def flow(seed):
        net = initial_network(init, jax.random.key(seed), widths, phi)
        problem = FlowProblem(rule, net, Feedback(), data)
        return solve(problem, ts, see, Numerics(step=0.0625)).records["f"]

    return jax.lax.map(flow, seeds)  # one after the other: their products are of matrices


@pytest.mark.parametrize("hidden", [2, 3])
def test_finite_networks_lie_around_it(deep, hidden):
    """The square error falls as 1 / N; of the other depth's limit it does not."""
    theory, means = np.asarray(deep[hidden].outputs), []
    for width in (40, 160):
        widths = (4, *(width,) * hidden, 1)
        runs = np.asarray(finite(np.arange(16), widths, make_data(X, Y), deep[hidden].ts))
        means.append(np.mean(np.sum((runs - theory) ** 2, axis=(1, 2))) / np.sum(theory**2) * width)
    assert 0.1 < means[1] < 8 and 0.4 < means[0] / means[1] < 2.5
    own, other = (
        np.sum((runs.mean(axis=0) - np.asarray(deep[l].outputs)) ** 2) / np.sum(theory**2)
        for l in (hidden, hidden - 1)
    )
    assert own < 0.4 * means[1] / 160 and other > 5 * own


def test_what_is_refused():
    data = make_data(X, Y)
    for bad, name in (((data, 0, 1.0, 1.0), "hidden"), ((data, 1, 0.0, 1.0), "richness"),
                      ((make_data(X, np.ones((2, 2))), 1, 1.0, 1.0), "targets")):  # fmt: skip
        with pytest.raises(ValueError, match=f"`{name}` must"):
            gradient_limit(*bad)
