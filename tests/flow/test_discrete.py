"""The discrete twin against a loop in numpy, its law identity, and its limit, the flow."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.flow import Discrete, FlowProblem, Numerics, integrate, run_twin
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Balance, FeedbackPotential, Loss
from faflow.rules import RULES, FeedbackAlignment, KolenPollack, UniformSignSymmetry
from faflow.solvers import TABLEAUX, ExplicitTableau, as_tableau
from faflow.tasks import make_data

WIDTHS, SAMPLES = (5, 6, 4, 2), 12
KEY = jax.random.key(7)
run = eqx.filter_jit(run_twin)


@eqx.filter_jit
def run_and_scale(flow, ts, laws, discrete):
    """The twin, and the sizes of what its laws are differences of."""
    scales = {name: law.scale(flow.weights, flow.feedback, flow.data) for name, law in laws.items()}
    return run_twin(flow, ts, {}, laws, discrete), scales


def problem(rule=None, activation="relu", bias=False, loss="squared", widths=WIDTHS):
    rng = np.random.default_rng(0)
    rule = FeedbackAlignment() if rule is None else rule
    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    weights = tuple(jnp.asarray(rng.standard_normal(pair) / pair[1] ** 0.5) for pair in pairs)
    biases = tuple(jnp.asarray(0.3 * rng.standard_normal(pair[0])) for pair in pairs)
    net = MLP(weights, biases if bias else (), ACTIVATIONS[activation]())
    x, y = rng.standard_normal((SAMPLES, widths[0])), rng.standard_normal((SAMPLES, widths[-1]))
    fed = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(1), widths, rule.form, net)
    return FlowProblem(rule, net, fed, make_data(x, y, loss, "mean"))


# Butcher tableaus from the textbooks (Hairer, Norsett & Wanner, Solving Ordinary Differential
# Equations I, II.1), written a second time: (a, b).
METHODS = {
    "euler": ([[0]], [1]),
    "midpoint": ([[0, 0], [0.5, 0]], [0, 1]),
    "heun": ([[0, 0], [1, 0]], [0.5, 0.5]),
    "ralston": ([[0, 0], [2 / 3, 0]], [0.25, 0.75]),
    "kutta3": ([[0, 0, 0], [0.5, 0, 0], [-1, 2, 0]], [1 / 6, 4 / 6, 1 / 6]),
    "rk4": (np.diag([0.5, 0.5, 1.0], -1), np.array([1, 2, 2, 1]) / 6),
    "bosh3": ([[0, 0, 0], [0.5, 0, 0], [0, 0.75, 0]], [2 / 9, 1 / 3, 4 / 9]),
}


def filled(method, stages=4):
    """With stages that count for nothing, up to rk4's four, so that methods share a program."""
    a, b = map(np.asarray, as_tableau(method))
    more = stages - len(b)
    return ExplicitTableau(np.pad(a, (0, more)), np.pad(b, (0, more)))


def numpy_field(parts, flow, rows, rule):
    """(W_1', ..., W_L', b_1', ..., b_L') of feedback alignment or the gradient by hand."""
    depth, count = len(parts) // 2, len(flow.weights.biases)
    weights, biases = parts[:depth], parts[depth:]
    x, y = np.asarray(flow.data.inputs)[rows], np.asarray(flow.data.targets)[rows]
    a, gates = [x], []
    for l, (w, b) in enumerate(zip(weights, biases, strict=True)):
        h = a[-1] @ w.T + b
        gates.append(h > 0)
        a.append(np.maximum(h, 0) if l < depth - 1 else h)
    delta = (a[-1] - y) / len(rows)
    moves, shifts = [], []
    for l in reversed(range(depth)):
        moves.insert(0, -delta.T @ a[l])
        shifts.insert(0, -delta.sum(axis=0) * bool(count))
        if l:
            back = weights[l] if rule == "gradient" else np.asarray(flow.feedback.matrices[l - 1])
            delta = gates[l - 1] * (delta @ back)
    return [*moves, *shifts]


def numpy_twin(flow, eta, steps, method, rule="feedback-alignment"):
    """The discrete rule by hand, all samples; per hidden neuron what theory.md 2.11 says of Q."""
    a, b = map(np.asarray, METHODS[method])
    m = np.outer(b, b) - b[:, None] * a - (b[:, None] * a).T
    parts = [np.asarray(w) for w in flow.weights.weights]
    parts += [np.asarray(c) for c in flow.weights.biases] or [np.zeros(len(w)) for w in parts]
    depth, rows = len(parts) // 2, np.arange(SAMPLES)
    gained = [np.zeros(len(w)) for w in parts[: depth - 1]]
    for _ in range(steps):
        ks = []
        for row in a:
            at = [p + eta * sum((c * k[i] for c, k in zip(row, ks, strict=False)), 0 * p)
                  for i, p in enumerate(parts)]  # fmt: skip
            ks.append(numpy_field(at, flow, rows, rule))
        for l, gain in enumerate(gained):
            lower, bias, upper = (np.stack([k[i] for k in ks]) for i in (l, depth + l, l + 1))
            pairs = np.einsum("inm,jnm,ij->n", lower, lower, m)
            pairs += np.einsum("in,jn,ij->n", bias, bias, m)
            if rule == "gradient":
                pairs -= np.einsum("inm,jnm,ij->m", upper, upper, m)
            gain += 0.5 * eta**2 * pairs
        for i, part in enumerate(parts):
            parts[i] = part + eta * sum(c * k[i] for c, k in zip(b, ks, strict=True))
    return parts[:depth], gained


@pytest.mark.parametrize(
    ("rule", "method"),
    [*(("feedback-alignment", method) for method in METHODS), ("gradient", "heun")],
)
def test_the_same_as_a_loop_in_numpy(rule, method, measured):
    """Prediction 8, per neuron; the control is the law of another method."""
    flow, eta = problem(RULES[rule](), bias=True), 0.05
    laws = {"law": flow.rule.laws(flow.weights)["neuron-balance"]}
    given = "euler" if method == "euler" else filled(method)
    twin = run(flow, np.array([0.0, 2.0]), {}, laws, Discrete(eta, KEY, method=given))
    weights, gained = numpy_twin(flow, eta, 40, method, rule)
    assert int(twin.steps[-1]) == 40
    for ours, theirs in zip(twin.weights.weights, weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
    flat = lambda series: np.concatenate([q[-1] - q[0] for q in map(np.asarray, series)])  # noqa: E731
    now, told, hand = flat(twin.laws["law"]), flat(twin.predicted["law"]), np.concatenate(gained)
    # Rounding of 40 additions to laws of size 1; the methods of order 3 change them by 1e-6 only.
    measured(8, f"{rule}, {method}: law identity by hand", np.abs(told - hand).max(), below=5e-14)
    measured(8, f"{rule}, {method}: laws change by it", np.abs(now - hand).max(), below=1e-13)
    wrong = "heun" if method == "euler" else "euler"
    other = np.concatenate(numpy_twin(flow, eta, 40, wrong, rule)[1])
    control = np.abs(now - other).max() / np.abs(other).max()
    measured(8, f"{method}: the identity of another method", control, above=0.5)


@pytest.mark.parametrize(
    ("kind", "activation", "batch", "method"),
    [(kind, "linear", None, "heun") for kind in RULES]
    + [(kind, "relu", 5, "rk4") for kind in ("gradient", "feedback-alignment", "kolen-pollack")],
)
def test_the_law_identity_holds_for_any_step(kind, batch, activation, method, measured):
    """Theory.md 2.11, prediction 8: measured and predicted laws agree to 1e-13 of their scale,
    with a step so long that the laws change by much more; matrix laws too."""
    widths = (5, 4, 3, 2) if kind == "fa-star" else WIDTHS
    rule = KolenPollack(0.3) if kind == "kolen-pollack" else RULES[kind]()
    flow = problem(rule, activation, bias=kind != "fa-star", widths=widths)
    every = {name: law for name, law in rule.laws(flow.weights).items() if law.quadratic}
    # The diagonal of the matrix is twice the neurons' law, whose sum is the layer's.
    last = [name for name in ("neuron-balance", "matrix-balance") if name in every][-1:]
    laws = {name: every[name] for name in last}
    if not laws:
        pytest.skip("keeps no quadratic law of this network")
    discrete = Discrete(0.2, KEY, batch, method)
    twin, scales = run_and_scale(flow, np.linspace(0.0, 3.0, 4), laws, discrete)
    for name in laws:
        scale, now, told = (
            list(map(np.asarray, jax.tree.leaves(part[name])))
            for part in (scales, twin.laws, twin.predicted)
        )
        misses = [
            np.max(np.abs(q - p)) / max(1.0, np.max(size))
            for q, p, size in zip(now, told, scale, strict=True)
        ]
        measured(8, f"{kind}, {activation}, {method}: {name}", max(misses), below=1e-13)
        if kind == "feedback-alignment":
            assert max(np.max(np.abs(q[-1] - q[0])) for q in now) > 1e-4


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_a_law_that_the_rule_breaks_breaks_the_identity(method, measured):
    flow = problem(activation="tanh")
    laws = {"layer-balance": Balance(FeedbackPotential(), "layer-balance", (1, 2))}
    twin = run(flow, np.array([0.0, 3.0]), {}, laws, Discrete(0.1, KEY, method=filled(method)))
    now, told = (np.asarray(part["layer-balance"])[-1] for part in (twin.laws, twin.predicted))
    miss = np.min(np.abs(now - told))
    measured(8, f"{method}: identity of a law that tanh breaks", miss, above=1e-3)


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_no_identity_is_told_of_a_law_that_is_not_quadratic(method):
    """psi = ||W||_1 bends where a weight changes sign: the law is followed, nothing is predicted.
    1/2 eta^2 ||g_l||^2, which the identity would make of it, is wrong there."""
    flow = problem(UniformSignSymmetry())
    laws = flow.rule.laws(flow.weights)
    twin = run(flow, np.array([0.0, 3.0]), {}, laws, Discrete(0.1, KEY, method=filled(method, 2)))
    assert set(twin.laws) == {"layer-balance", "neuron-balance"} and twin.predicted == {}
    value = eqx.filter_jit(laws["layer-balance"])(twin.weights, flow.feedback, flow.data)
    np.testing.assert_allclose(twin.laws["layer-balance"][-1], value, rtol=1e-12)
    changed = [np.sign(np.asarray(a)) != np.sign(np.asarray(b)) for a, b in
               zip(twin.weights.weights[1:], flow.weights.weights[1:], strict=True)]  # fmt: skip
    assert any(map(np.any, changed))


SMOOTH_ORDERS = {"euler": 1, "midpoint": 2, "heun": 3, "rk4": 4}


@pytest.mark.parametrize("method", SMOOTH_ORDERS)
def test_order_of_the_laws_change(method, measured):
    """Prediction 9, without kinks: O(h) for Euler; Heun's m is (1/4)[[1, -1], [-1, 1]] and
    k_2 - k_1 is O(h), so it gains an order over its own, 2; midpoint's [[0, -1/2], [-1/2, 1]]
    does not. From 32 steps, where h times the largest rate is 0.2, to 128, where RK4 still changes
    a law by 1e-11."""
    flow, steps, changes = problem(activation="linear"), np.array([32, 64, 128]), []
    laws = {"law": flow.rule.laws(flow.weights)["layer-balance"]}
    for count in steps:
        discrete = Discrete(1 / count, KEY, method=filled(method))
        law = np.asarray(run(flow, np.array([0.0, 1.0]), {}, laws, discrete).laws["law"])
        changes.append(np.abs(law[-1] - law[0]).mean())
    order = -np.polyfit(np.log(steps), np.log(changes), 1)[0]
    off = abs(order - SMOOTH_ORDERS[method])
    measured(9, f"twin, {method}: |order of the laws' change - theory|", off, below=0.2)


def test_tableaus():
    """Names, a diffrax tableau, one's own; what is no explicit method is refused."""
    assert set(METHODS) < set(TABLEAUX)
    for name in TABLEAUX:
        a, b = as_tableau(name)
        assert a.shape == (len(b), len(b)) and not np.triu(a).any() and abs(b.sum() - 1) < 1e-12
        if name in METHODS:
            np.testing.assert_allclose(a, METHODS[name][0], rtol=1e-15)
            np.testing.assert_allclose(b, METHODS[name][1], rtol=1e-15)
    assert len(as_tableau("tsit5").b) == 6  # its seventh stage is the next step's first
    given = Discrete(0.1, KEY, method=diffrax.Heun.tableau).method
    np.testing.assert_allclose(given.b, as_tableau("heun").b)
    own = Discrete(0.1, KEY, method=ExplicitTableau(np.zeros((1, 1)), np.ones(1))).method
    np.testing.assert_array_equal(own.a, as_tableau("euler").a)
    for bad, words in (
        ("rk5", "rk5"),
        (ExplicitTableau(np.ones((1, 1)), np.ones(1)), "explicit"),
        (ExplicitTableau(np.zeros((2, 2)), np.ones(1)), "stages"),
        (ExplicitTableau(np.zeros((1, 1)), 2 * np.ones(1)), "sum b"),
    ):
        with pytest.raises(ValueError, match=f"^[^\n]*{words}[^\n]*$"):
            Discrete(0.1, KEY, method=bad)


def test_the_limit_is_the_flow():
    """||twin - flow|| is of first order in eta under Euler, of second under Heun; the loss is read
    off the same polygon, of first order between steps."""
    flow, ts = problem(activation="tanh"), np.array([0.0, 0.73, 2.0])
    exact = integrate(flow, ts, {"loss": Loss()}, Numerics(rtol=1e-11, atol=1e-12))

    def apart(eta, method):
        """At the end, and by the loss amid."""
        discrete = Discrete(eta, KEY, method=filled(method, 2))
        twin = run(flow, ts, {"loss": Loss()}, {}, discrete)
        pairs = zip(twin.weights.weights, exact.weights.weights, strict=True)
        square = sum(np.sum((np.asarray(a) - np.asarray(b)) ** 2) for a, b in pairs)
        losses = (np.asarray(one.records["loss"]) for one in (twin, exact))
        return square**0.5, abs(np.subtract(*losses)[1])

    for series in zip(*(apart(eta, "euler") for eta in (0.02, 0.01, 0.005)), strict=True):
        ratios = np.array(series[:-1]) / np.array(series[1:])
        np.testing.assert_allclose(ratios, 2.0, atol=0.2)
    ends = [apart(eta, "heun")[0] for eta in (0.02, 0.01)]
    assert 3.6 < ends[0] / ends[1] < 4.4


def test_mini_batches_use_every_sample_once_an_epoch():
    """With a step so short that nothing moves, an epoch of mini-batches is a step of all."""
    flow, eta = problem(loss="logcosh"), 1e-7
    whole = run(flow, np.array([0.0, 3 * eta]), {}, {}, Discrete(eta, KEY))
    parts = run(flow, np.array([0.0, 3 * eta]), {}, {}, Discrete(eta, KEY, 4))
    other = run(flow, np.array([0.0, 2 * eta]), {}, {}, Discrete(eta, KEY, 4))
    nets = (*(t.weights for t in (whole, parts, other)), flow.weights)
    for a, b, c, w in zip(*(map(np.asarray, net.weights) for net in nets), strict=True):
        np.testing.assert_allclose((a - w) / eta, (b - w) / eta, atol=1e-6)
        assert np.max(np.abs((c - w) / (2 * eta) - (a - w) / (3 * eta))) > 1e-2


def test_steps_that_are_too_long_blow_up_and_say_when():
    flow = problem(activation="linear")
    twin = run(flow, np.linspace(0.0, 2000.0, 5), {}, {}, Discrete(5.0, KEY))
    assert list(np.asarray(twin.reached)) == [True, *[False] * 4]


def test_a_batch_that_cannot_be_drawn():
    for batch in (0, SAMPLES + 1):
        with pytest.raises(ValueError, match=f"batch.*{SAMPLES}.*{batch}"):
            run_twin(problem(), jnp.linspace(0.0, 1.0, 3), {}, {}, Discrete(0.1, KEY, batch))
