"""Deep linear nets under feedback alignment at infinite width: identities in fractions, the printed
equation, closed limits, and finite networks."""

from fractions import Fraction
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from faflow._compiling import LOOP, compiled
from faflow.feedback import FEEDBACKS, Feedback, draw_feedback
from faflow.flow import FlowProblem, Numerics, integrate, solve
from faflow.networks import ACTIVATIONS, INITIALISATIONS, MLP, initial_network
from faflow.rules import DirectFeedbackAlignment, FeedbackAlignment, MeanFieldRates
from faflow.tasks import make_data
from faflow.wide import (
    OutputsAt,
    WideFeedbackAlignment,
    WideKernelsObserved,
    alignments,
    deep_linear,
    integral,
    kappas,
    product,
    root,
    wide_limit,
)

RNG = np.random.default_rng(3)
X, Y, TEST = RNG.standard_normal((3, 5)), np.array([1.0, -0.7, 0.5]), RNG.standard_normal((2, 5))
TIMES = np.array([0.0, 0.4, 1.0, 2.0])


def problem(hidden, rho, richness, inputs=X, targets=Y, loss="squared"):
    limit, data = deep_linear(hidden, rho, richness), make_data(inputs, targets, loss)
    return FlowProblem(WideFeedbackAlignment(limit), limit.start(inputs.shape[1]), Feedback(), data)


def evaluated(polynomial, q):
    return sum(c * q**n for n, c in enumerate(polynomial))


# ---- identities, in fractions -------------------------------------------------------------------


def kernel_gap(hidden, rho, g, given):
    """d/dt of kappa_{L+1} k minus K Delta, as coefficients of K^x Delta and of k (k . Delta).

    K Delta = sum_l Gt^{l+1} (K^x Delta + g sum_{j<=l} kappa_j^2 k (k . Delta)); q' = k . Delta.
    """
    gap = []
    for q in (Fraction(0), Fraction(1, 3), Fraction(5, 2)):
        values = [evaluated(p, q) for p in given]
        pulls = [evaluated(integral(p), q) for p in given[:-1]]
        gt = alignments(values, pulls, rho, g)
        slope = sum(n * c * q ** (n - 1) for n, c in enumerate(given[-1]) if n)
        squares = [g * sum(v**2 for v in values[:l]) for l in range(hidden + 1)]
        gap.append(sum(gt) - values[-1])
        gap.append(sum(a * b for a, b in zip(gt, squares, strict=True)) - slope)
    return gap


@pytest.mark.parametrize("hidden", [1, 2, 3, 4, 5])
def test_both_routes_to_f_are_one_in_fractions(hidden):
    """kappa_{L+1}(q) K^x eta = int K Delta: exact at three q, any rho and gamma_0."""
    rho, g = Fraction(2, 7), Fraction(9, 4)
    given = kappas(hidden, rho, g)
    assert [len(p) - 1 for p in given] == [2**l - 1 for l in range(hidden + 1)]
    assert evaluated(given[-1], 0) == sum(rho**l for l in range(hidden + 1))
    assert not any(kernel_gap(hidden, rho, g, given))
    # Controls: without the powers of rho, and with the read-out's part alone.
    assert any(kernel_gap(hidden, rho, g, kappas(hidden, Fraction(1), g)))
    assert any(kernel_gap(hidden, rho, 2 * g, given))


def test_one_layer_is_the_printed_equation_in_fractions():
    """f = kappa_2 k with a = gamma_0 x: a' = g0 y - a^3 / 2 - (1 + rho) a, and kappa_3 by hand."""
    rho, g = Fraction(1, 3), Fraction(4)
    assert kappas(1, rho, g)[1] == [1 + rho, g]
    first, second = kappas(2, rho, g)[:2]
    below, above = (product(integral(kappa), kappa) for kappa in (first, second))
    pulled = [a + b for a, b in zip([*below, 0, 0], above, strict=True)]
    by_hand = [1 + rho * (1 + rho), rho * g + g * pulled[1], g * pulled[2], g * pulled[3]]
    assert kappas(2, rho, g)[2] == by_hand


@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_one_layer_whitened_is_the_printed_flow(rho):
    frame, richness = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0], 2.0
    targets = np.array([0.6, -0.64, 0.48])
    flow = integrate(
        problem(1, rho, richness, 3**0.5 * frame, targets), TIMES, {"k": WideKernelsObserved(),
        "f": OutputsAt(jnp.asarray(3**0.5 * frame))}, Numerics(rtol=1e-10, atol=1e-12),
    )  # fmt: skip
    push = lambda t, a: richness - a**3 / 2 - (1 + rho) * a  # noqa: E731
    a = solve_ivp(push, (0, 2), [0.0], "DOP853", TIMES, rtol=1e-12, atol=1e-13).y[0]
    outputs, kernels = flow.records["f"], flow.records["k"]
    np.testing.assert_allclose(outputs @ targets, 1 - push(0, a) / richness, atol=1e-8)
    np.testing.assert_allclose(kernels.alignments[:, 0], rho + a**2 / 2, atol=1e-8)
    hidden = np.einsum("i,tij,j->t", targets, kernels.features[:, 1], targets)
    np.testing.assert_allclose(hidden, 1 + a**2, rtol=1e-8)


# ---- limits and rates ---------------------------------------------------------------------------


@pytest.mark.parametrize("richness", [0.5, 2.0])
def test_the_flow_ends_where_the_root_says_at_the_rate_it_says(richness):
    """Least squares of least norm; alignment; the slowest rate, from the flow's own last decay."""
    limit = deep_linear(3, 0.4, richness)
    end = wide_limit(limit, jnp.asarray(X), jnp.asarray(Y))
    late = np.linspace(12, 18, 3) / float(end.rates[0])
    see = {"f": OutputsAt(jnp.asarray(X)), "test": OutputsAt(jnp.asarray(TEST)),
           "kernels": WideKernelsObserved()}  # fmt: skip
    flow = integrate(
        problem(3, 0.4, richness), np.array([0.0, *late]), see,
        Numerics(rtol=1e-12, atol=1e-14, tail=True),
    )  # fmt: skip
    np.testing.assert_allclose(flow.records["test"][-1], TEST @ np.linalg.pinv(X) @ Y, rtol=1e-5)
    np.testing.assert_allclose(flow.records["kernels"].alignments[-1], end.alignments, rtol=1e-5)
    gaps = np.linalg.norm(np.asarray(flow.records["f"])[1:] - Y, axis=1)
    rate = -np.diff(np.log(gaps)) / np.diff(late)
    np.testing.assert_allclose(rate, float(end.rates[0]), rtol=1e-4)
    least = np.linalg.eigvalsh(X @ X.T / 5)[0]
    assert float(end.rates[0]) >= float(end.kappa) * least > least * sum(0.4**l for l in range(4))


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_exponents_of_feature_change(hidden):
    """At large gamma_0 the gamma_0: power 1 - 1/(2^{L+1}-1) of the change of H^L; 2 at small."""

    def change(richness):
        limit = deep_linear(hidden, 0.0, richness)
        x = root(limit, 1.0)
        return limit.growths(0.5 * x * x)[-1] * x * x

    slopes = [float(np.log(change(2 * g) / change(g)) / np.log(2.0)) for g in (1e-4, 1e13, 1e14)]
    power = (2 ** (hidden + 1) - 2) / (2 ** (hidden + 1) - 1)
    np.testing.assert_allclose(slopes, [2, power, power], atol=2e-3)


def test_it_sweeps_by_vmap_and_takes_any_loss():
    data = make_data(X, np.sign(Y), "cross-entropy")

    def end(rho, richness):
        limit = deep_linear(2, rho, richness)
        flow = FlowProblem(WideFeedbackAlignment(limit), limit.start(5), Feedback(), data)
        return solve(flow, jnp.asarray([0.0, 2.0]), {}, Numerics()).weights.direction

    found = compiled(LOOP)(jax.vmap(end))(np.array([0.0, 0.5]), np.array([1.0, 2.0]))
    for i, (rho, g) in enumerate([(0.0, 1.0), (0.5, 4.0)]):
        last = kappas(2, rho, g)[-1]

        def field(t, v, last=last):
            f = evaluated(last, 2.5 * v @ v) * (X @ v)
            return X.T @ (np.sign(Y) / (1 + np.exp(np.sign(Y) * f))) / 5

        again = solve_ivp(field, (0, 2), np.zeros(5), "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
        np.testing.assert_allclose(found[i], again, rtol=1e-7)


def test_what_it_refuses():
    data = make_data(X, np.ones((3, 2)))
    limit = deep_linear(1, 0.0, 1.0)
    two = FlowProblem(WideFeedbackAlignment(limit), limit.start(5), Feedback(), data)
    with pytest.raises(ValueError, match="`targets` must have one output"):
        integrate(two, TIMES, {})
    net = MLP((jnp.ones((4, 5)), jnp.ones((1, 4))))
    with pytest.raises(ValueError, match="moves a WideLinear, but the network is a MLP"):
        FlowProblem(WideFeedbackAlignment(limit), net, Feedback(), data)
    for bad, name in (
        ((1, 1.5, 1.0), "rho"),
        ((1, 0.0, 0.0), "richness"),
        ((-1, 0.0, 1.0), "hidden"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must"):
            deep_linear(*bad)


# ---- finite networks ----------------------------------------------------------------------------


@compiled(LOOP)
def finite(rule, nets, feedbacks, data, test):
    """f at samples and test points at TIMES, of all seeds."""
    see = {"f": OutputsAt(jnp.concatenate([data.inputs, test]))}

    def flow(net, feedback):
        numerics = Numerics(rtol=1e-5, atol=1e-7)
        return solve(FlowProblem(rule, net, feedback, data), jnp.asarray(TIMES), see, numerics)

    # One by one: a seed at N = 2000 takes 100 MB a layer and a dozen of these.
    return jax.lax.map(lambda of: flow(*of).records["f"], (nets, feedbacks))


@cache
def simulated(name, hidden, rho, richness, width, seeds):
    rule = {"fa": FeedbackAlignment, "dfa": DirectFeedbackAlignment}[name]()
    widths, starts = (5, *(width,) * hidden, 1), []
    for seed in range(seeds):
        keys = jax.random.split(jax.random.key(seed))
        net = initial_network(
            INITIALISATIONS["mean-field"](richness), keys[0], widths, ACTIVATIONS["linear"]()
        )
        draw = FEEDBACKS["mean-field"](rho, richness)
        starts.append((net, draw_feedback(draw, keys[1], widths, rule.form, net)))
    nets, feedbacks = jax.tree.map(lambda *leaves: np.stack(leaves), *starts)
    found = finite(
        MeanFieldRates(rule, richness), nets, feedbacks, make_data(X, Y), jnp.asarray(TEST)
    )
    return np.asarray(found)


def predicted(hidden, rho, richness):
    see = {"f": OutputsAt(jnp.asarray(np.concatenate([X, TEST])))}
    return np.asarray(integrate(problem(hidden, rho, richness), TIMES, see).records["f"])


def errors(runs, theory):
    """Square error of every seed over all times after the first, relative."""
    return np.sum((runs - theory)[:, 1:] ** 2, axis=(1, 2)) / np.sum(theory[1:] ** 2)


CASES = [("fa", 3, 0.5, 1.0), ("dfa", 2, 0.0, 1.5)]


@pytest.mark.parametrize("case", CASES)
def test_finite_networks_come_to_it(case):
    """Square error of order 1 / N at samples and test points; without rho's powers it stays."""
    theory = predicted(*case[1:])
    runs = {n: simulated(*case, n, 16) for n in (40, 160)}
    means = [errors(each, theory).mean() * n for n, each in runs.items()]
    assert 0.2 < means[1] < 5 and 0.4 < means[0] / means[1] < 2.5
    own, other = (
        errors(runs[160].mean(axis=0)[None], f)[0]
        for f in (theory, predicted(case[1], 1.0, case[3]))
    )
    assert own < 0.3 * means[1] / 160 and other > 5 * own


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [1, 2, 3, 4, 5])
def test_finite_networks_slope(hidden):
    """Slope -1 in N within two standard errors, N = 125 to 1000."""
    widths, theory = (125, 250, 500, 1000), predicted(hidden, 0.5, 1.0)
    found = np.array([errors(simulated("fa", hidden, 0.5, 1.0, n, 8), theory) for n in widths])
    x = np.log(widths) - np.mean(np.log(widths))
    weight, spread = (
        x / np.sum(x**2),
        np.std(found, axis=1, ddof=1) / np.mean(found, axis=1) / 8**0.5,
    )
    slope, error = weight @ np.log(found.mean(axis=1)), np.sqrt(np.sum((weight * spread) ** 2))
    assert abs(slope + 1) < 2 * error and error < 0.25
