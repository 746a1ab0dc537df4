"""The rules beyond FA and its kin, against numpy written from the equations, and their laws.

In the oracle samples are columns, as in the papers: H_l = W_l A_{l-1} + beta_l, W_l' = -Delta_l
A_{l-1}^T, beta_l' = -sum_mu Delta_l; e = f - y throughout.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import law_rates
from faflow.feedback import Feedback, feedback_shapes
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import (
    AbstractQuadraticPotential,
    Balance,
    FeedbackPotential,
    Loss,
    UniformSignPotential,
    WeightPotential,
    balance_laws,
)
from faflow.rules import (
    RULES,
    AlignAda,
    AlignZero,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    FixedWeightDifferenceTargetPropagation,
    Hebbian,
    UniformSignSymmetry,
    WeightMirror,
    weight_velocity,
)
from faflow.tasks import make_data

KEPT = 1e-12  # of the law's scale
BROKEN = 5e-3

PHI = {
    "linear": (lambda h: h, np.ones_like),
    "relu": (lambda h: np.maximum(h, 0), lambda h: 1.0 * (h > 0)),
    "relu-squared": (lambda h: np.maximum(h, 0) ** 2, lambda h: 2 * np.maximum(h, 0)),
    "tanh": (np.tanh, lambda h: 1 / np.cosh(h) ** 2),
}


class Net:
    """Weights, biases (zeros if there are none), data with samples as columns, feedback."""

    def __init__(self, widths, activation, bias, form, seed=0, samples=9):
        rng = np.random.default_rng(seed)
        pairs = list(itertools.pairwise(widths))
        self.w = [rng.normal(size=(out, into)) / into**0.5 for into, out in pairs]
        self.b = [0.3 * rng.normal(size=out) * bias for _, out in pairs]
        self.x = rng.normal(size=(widths[0], samples))
        self.y = rng.normal(size=(widths[-1], samples))
        shapes = feedback_shapes(widths, form)
        self.feed = [rng.normal(size=shape) / shape[1] ** 0.5 for shape in shapes]
        self.phi, self.slope = PHI[activation]
        self.bias, self.form, self.activation = bias, form, activation

    def forward(self, w=None, b=None):
        """(H_1..H_L), (A_0..A_L)."""
        pre, post = [], [self.x]
        for weight, shift in zip(w or self.w, b or self.b, strict=True):
            pre.append(weight @ post[-1] + shift[:, None])
            post.append(self.phi(pre[-1]))
        post[-1] = pre[-1]
        return pre, post

    def network(self):
        biases = tuple(map(jnp.asarray, self.b)) if self.bias else ()
        weights = tuple(map(jnp.asarray, self.w))
        return MLP(weights, biases, ACTIVATIONS[self.activation]())

    def feedback(self):
        return Feedback(tuple(map(jnp.asarray, self.feed)), self.form)

    def data(self, reduction="sum"):
        return make_data(self.x.T, self.y.T, "squared", reduction)

    def velocity(self, rule, reduction="sum"):
        """The rule's (d weights/dt, d feedback/dt)."""
        return weight_velocity(rule, self.network(), self.feedback(), self.data(reduction))


def chained(net, back):
    """Delta_l = phi'(H_l) . back(l, Delta_{l+1}), l = 1..L-1, top down."""
    pre, post = net.forward()
    deltas = [post[-1] - net.y]
    for l in range(len(net.w) - 1, 0, -1):
        deltas.insert(0, net.slope(pre[l - 1]) * back(l, deltas[0]))
    return deltas, post


def uniform_sign(net):
    return chained(net, lambda l, above: np.sign(net.w[l]).T @ above)


def fixed_magnitude_sign(net):
    return chained(net, lambda l, above: (abs(net.feed[l - 1]) * np.sign(net.w[l])).T @ above)


def last_layer(net):
    return chained(net, lambda l, above: 0 * (net.w[l].T @ above))


def direct(net, drive):
    pre, post = net.forward()
    e = post[-1] - net.y
    back = [net.slope(h) * (d.T @ drive(e, net.y)) for h, d in zip(pre[:-1], net.feed, strict=True)]
    return [*back, e], post


def sign_error(net):
    return direct(net, lambda e, y: np.sign(e))


def target(net):
    return direct(net, lambda e, y: y)


def hebb(net):
    _, post = net.forward()
    e = post[-1] - net.y
    return [*(-(e**2) * a for a in post[1:-1]), e], post


def potential(net):
    """psi = sum log cosh W, by hand: its derivative is tanh."""
    return chained(net, lambda l, above: np.tanh(net.w[l]).T @ above)


def mixed(net, share=0.5):
    matrix = lambda l: share * net.w[l] + (1 - share) * net.feed[l - 1]  # noqa: E731
    return chained(net, lambda l, above: matrix(l).T @ above)


def monotone(net):
    """On |W_l| above the first layer, and |D|."""
    net.w[1:], net.feed = map(abs, net.w[1:]), [*map(abs, net.feed)]
    return direct(net, lambda e, y: e)


def feedback_alignment(net):
    return chained(net, lambda l, above: net.feed[l - 1].T @ above)


def gradient(net):
    return chained(net, lambda l, above: net.w[l].T @ above)


def target_propagation(net, s=0.125):
    """Prediction 38, from the targets themselves: tau_L = f - s e, tau_l = a_l + F^T (tau_{l+1} -
    a_{l+1}); -grad_W ||tau_l - a_l||^2 = 2 (phi' . (tau_l - a_l)) a_{l-1}^T, divided by 2 s."""
    pre, post = net.forward()
    taus = [post[-1] - s * (post[-1] - net.y)]
    for l in range(len(net.w) - 1, 0, -1):
        taus.insert(0, post[l] + net.feed[l - 1].T @ (taus[0] - post[l + 1]))
    deltas = []
    for h, a, tau in zip(pre, post[1:], taus, strict=True):
        slope = np.ones_like(h) if len(deltas) == len(net.w) - 1 else net.slope(h)
        deltas.append(2 * slope * (a - tau) / (2 * s))
    return deltas, post


ORACLES = {
    "uniform-sign-symmetry": uniform_sign,
    "fixed-magnitude-sign-symmetry": fixed_magnitude_sign,
    "last-layer-only": last_layer,
    "sign-error-direct-feedback": sign_error,
    "direct-random-target-projection": target,
    "hebbian": hebb,
    "weight-mirror": feedback_alignment,
    "align-ada": gradient,  # at t = 0, where the frozen network is the present one
    "align-zero": gradient,
    "fixed-weight-difference-target-propagation": target_propagation,
    "mixed-feedback-alignment": mixed,
    "potential-feedback": potential,
    "monotone-direct-feedback": monotone,
}
ONE_OUTPUT = {"hebbian", "monotone-direct-feedback"}
DEEP, SHALLOW = (4, 6, 5, 3), (4, 6, 2)


def widths_for(name, widths):
    return (*widths[:-1], 1) if name in ONE_OUTPUT else widths


def assert_moves(network, deltas, post, weight=1.0):
    moves = [-weight * d @ a.T for d, a in zip(deltas, post[:-1], strict=True)]
    shifts = [-weight * d.sum(axis=1) for d in deltas] if network.biases else []
    for got, want in zip((*network.weights, *network.biases), (*moves, *shifts), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("widths", [SHALLOW, DEEP])
@pytest.mark.parametrize("name", ORACLES)
def test_velocity_is_that_of_the_equations(name, widths, bias, activation):
    """Under both reductions: the mean only slows the weights down."""
    rule = RULES[name]()
    net = Net(widths_for(name, widths), activation, bias, rule.form)
    for reduction, weight in (("sum", 1.0), ("mean", 1 / net.x.shape[1])):
        moved, _ = net.velocity(rule, reduction)
        assert_moves(moved, *ORACLES[name](net), weight)


def largest_rates(laws, rule, net):
    """Per law the largest relative rate; smallest over layers for controls."""
    rates = law_rates(laws, rule, net.network(), net.feedback(), net.data())
    return {name: np.asarray(rate.relative) for name, rate in rates.items()}


def rates_of_each(rule, net, *sets):
    """`largest_rates` of several sets of laws, by one program."""
    laws = {f"{i} {name}": law for i, some in enumerate(sets) for name, law in some.items()}
    found = largest_rates(laws, rule, net)
    return [[found[f"{i} {name}"] for name in some] for i, some in enumerate(sets)]


# ---- sign symmetry ------------------------------------------------------------------------------

SIGNS = ["uniform-sign-symmetry", "fixed-magnitude-sign-symmetry"]


def by_hand(name, net, degree, scale=1.0):
    """Relative rate of Q_lj = 1/2 ||W_l[j]||^2 + 1/2 beta_lj^2 - k sum_i |M_ij| |W_ij|: numpy."""
    deltas, post = ORACLES[name](net)
    out = []
    for l in range(len(net.w) - 1):
        move, above = -deltas[l] @ post[l].T, -deltas[l + 1] @ post[l + 1].T
        size = np.abs(net.feed[l]) if net.feed else scale * np.ones_like(net.w[l + 1])
        terms = (
            (net.w[l] * move).sum(axis=1),
            -net.b[l] * deltas[l].sum(axis=1),
            -degree * (size * np.sign(net.w[l + 1]) * above).sum(axis=0),
        )
        out.append(np.abs(sum(terms)).max() / sum(map(np.abs, terms)).max())
    return out


@pytest.mark.parametrize(
    ("activation", "degree"), [("relu", 1), ("linear", 1), ("relu-squared", 2)]
)
@pytest.mark.parametrize(("widths", "bias"), [(SHALLOW, False), (DEEP, True)])
@pytest.mark.parametrize("name", SIGNS)
def test_sign_rules_keep_their_one_norm(name, widths, bias, activation, degree):
    """Prediction 7; the control is the gradient's law."""
    rule = RULES[name]()
    net = Net(widths, activation, bias, rule.form)
    assert max(by_hand(name, net, degree)) < KEPT
    laws = rule.laws(net.network())
    assert set(laws) == {"layer-balance", "neuron-balance"}
    assert not any(law.quadratic for law in laws.values())
    wrong = balance_laws(net.network(), WeightPotential())
    kept, broken = rates_of_each(rule, net, laws, wrong)
    assert all(rates.max() < KEPT for rates in kept) and len(kept) == 2
    assert all(rates.min() > BROKEN for rates in broken) and broken


def test_law_values_of_the_sign_rules():
    for name in SIGNS:
        rule = RULES[name]()
        net = Net(DEEP, "relu-squared", True, rule.form)
        law = rule.laws(net.network())["neuron-balance"]
        got = law(net.network(), net.feedback(), net.data())
        for l, values in enumerate(got):
            size = np.abs(net.feed[l]) if net.feed else 1.0
            psi = (size * np.abs(net.w[l + 1])).sum(axis=0)
            own = 0.5 * (net.w[l] ** 2).sum(axis=1) + 0.5 * net.b[l] ** 2
            np.testing.assert_allclose(values, own - 2 * psi, rtol=1e-13, atol=1e-13)


def test_scale_of_the_uniform_signs():
    """Scale s is feedback s sign(W), and stands in the law; the law of s = 1 is broken."""
    rule, net = UniformSignSymmetry(0.3), Net(DEEP, "relu", True, "none")
    signs = Feedback(tuple(0.3 * jnp.sign(jnp.asarray(w)) for w in net.w[1:]), "layerwise")
    moved, _ = net.velocity(rule)
    same = FeedbackAlignment().vector_field(net.network(), signs, net.data())
    for got, want in zip(jax.tree.leaves(moved), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
    laws, other = (each.laws(net.network()) for each in (rule, UniformSignSymmetry()))
    kept, broken = rates_of_each(rule, net, laws, other)
    assert all(rates.max() < KEPT for rates in kept) and kept
    assert all(rates.min() > BROKEN for rates in broken) and broken


def test_a_weight_of_zero_has_no_sign():
    rule, net = UniformSignSymmetry(), Net(SHALLOW, "relu", False, "none")
    net.w[1][:] = 0.0
    moved, _ = net.velocity(rule)
    assert not np.any(moved.weights[0]) and np.any(moved.weights[1])


def test_signs_have_no_matrix_law():
    """No M with M' = G^T W' + W'^T G: the form is left out, and refused when asked for."""
    potential = UniformSignPotential(jnp.ones(()))
    assert not isinstance(potential, AbstractQuadraticPotential)
    with pytest.raises(ValueError):
        Balance(potential, "matrix-balance", (1,))
    assert Balance(WeightPotential(), "matrix-balance", (1,)).quadratic


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNS)
def test_sign_rules_over_a_relu_flow(name):
    """Exact integration serves these rules, and the law outlives weights that change sign."""
    rule = RULES[name]()
    net = Net((3, 4, 1), "relu", True, rule.form, seed=6, samples=6)
    problem = FlowProblem(rule, net.network(), net.feedback(), net.data())
    law, ts = rule.laws(net.network())["neuron-balance"], jnp.linspace(0, 1.5, 7)
    exact = integrate(problem, ts, {"law": law}, Numerics(rtol=1e-8, atol=1e-10, kinks="exact"))
    values = np.asarray(exact.records["law"][0])
    assert np.abs(values - values[0]).max() < 1e-5 * np.abs(values).max()
    assert np.any(np.sign(exact.weights.weights[1]) != np.sign(net.w[1]))
    if name == "fixed-magnitude-sign-symmetry":  # the other takes 10,000 plain steps
        plain = integrate(problem, ts, {"law": law}, Numerics(rtol=1e-6, atol=1e-8))
        for got, want in zip(plain.weights.weights, exact.weights.weights, strict=True):
            np.testing.assert_allclose(got, want, atol=3e-4)


# ---- rules without a law ------------------------------------------------------------------------

DIRECT = ["sign-error-direct-feedback", "direct-random-target-projection"]


@pytest.mark.parametrize("name", ["hebbian", "weight-mirror", *DIRECT])
def test_control_rules_without_a_law_break_those_of_the_others(name):
    """Gradient's law, and feedback alignment's where there is feedback, in every layer."""
    rule = RULES[name]()
    net = Net(widths_for(name, DEEP), "relu", True, rule.form)
    assert rule.laws(net.network()) == {}
    potentials = [WeightPotential()] + [FeedbackPotential()] * (rule.form != "none")
    laws = [balance_laws(net.network(), potential) for potential in potentials]
    for broken in rates_of_each(rule, net, *laws):
        assert all(rates.min() > BROKEN for rates in broken) and broken


@pytest.mark.parametrize("name", DIRECT)
def test_one_drive_for_all_keeps_laws_in_linear_nets(name):
    """Delta_l = D_l^T s and Delta_{l+1} = D_{l+1}^T s: W_l W_l^T - F^T W_{l+1} - W_{l+1}^T F with
    F = D_{l+1}^+ D_l, by numpy, where n_{l+1} >= n_L (layers 1 and 3), whatever s is."""
    widths = (4, 6, 5, 2, 5, 3)
    rule, net = RULES[name](), Net(widths, "linear", True, "direct")
    deltas, post = ORACLES[name](net)
    moves = [-d @ a.T for d, a in zip(deltas, post[:-1], strict=True)]
    for l in range(3):
        cross = (np.linalg.pinv(net.feed[l + 1]) @ net.feed[l]).T @ moves[l + 1]
        own = net.w[l] @ moves[l].T - np.outer(net.b[l], deltas[l].sum(axis=1))
        rate = own + own.T - cross - cross.T
        assert bool(np.abs(rate).max() < 1e-12 * np.abs(own).max()) is (l != 1)
    laws = rule.laws(net.network())
    assert set(laws) == {"layer-balance", "neuron-balance", "matrix-balance", "subspace-balance"}
    assert laws.pop("subspace-balance").layers == (2,)  # tests/theory/test_direct_laws.py
    assert all(law.layers == (1, 3) for law in laws.values())
    last = balance_laws(net.network(), FeedbackPotential(), layers=(2, 4))
    kept, broken = rates_of_each(rule, net, laws, last)
    assert all(rates.max() < KEPT for rates in kept) and len(kept) == 3
    assert all(rates.min() > BROKEN for rates in broken) and broken


@pytest.mark.parametrize("bias", [False, True])
def test_last_layer_only_moves_nothing_else(bias):
    rule = RULES["last-layer-only"]()
    net = Net(DEEP, "tanh", bias, "none")
    problem = FlowProblem(rule, net.network(), net.feedback(), net.data())
    flow = integrate(problem, jnp.linspace(0, 3, 4), {"loss": Loss()}, Numerics(rtol=1e-10))
    for got, want in zip(flow.weights.weights[:-1], net.w[:-1], strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(flow.weights.biases[:-1], net.b[:-1], strict=False):
        np.testing.assert_array_equal(got, want)
    # The read-out's flow is linear: its residual is (I - e^{-t ...})'s, by eigendecomposition.
    features = net.forward()[1][-2]
    if bias:
        features = np.vstack([features, np.ones(features.shape[1])])
    values, vectors = np.linalg.eigh(features.T @ features)
    first = net.forward()[1][-1] - net.y
    last = first @ vectors @ np.diag(np.exp(-3 * values)) @ vectors.T
    np.testing.assert_allclose(flow.records["loss"][-1], 0.5 * (last**2).sum(), rtol=1e-8)


def test_signs_of_the_error_are_direct_feedback_of_a_unit_error():
    """Where every error is +-1 sDFA is DFA; DRTP where the targets are the error (y = f / 2)."""
    net = Net(DEEP, "tanh", True, "direct")
    outputs = net.forward()[1][-1]
    for name, targets in (
        ("sign-error-direct-feedback", outputs - np.sign(net.y)),
        ("direct-random-target-projection", outputs / 2),
    ):
        net.y = targets
        got, want = net.velocity(RULES[name]())[0], net.velocity(DirectFeedbackAlignment())[0]
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_target_projection_does_not_rest_at_zero_error():
    net = Net(DEEP, "tanh", False, "direct")
    net.y = net.forward()[1][-1]
    moved, _ = net.velocity(RULES["direct-random-target-projection"]())
    assert np.abs(moved.weights[0]).max() > 0.1 and np.abs(moved.weights[-1]).max() < 1e-14


# ---- Hebb ---------------------------------------------------------------------------------------


def test_hebb_needs_one_output():
    net = Net(DEEP, "relu", False, "none")
    with pytest.raises(ValueError, match=r"^[^\n]*one output[^\n]*$"):
        Hebbian().init(net.network(), net.feedback(), net.data())


@pytest.mark.parametrize("modulation", ["error", "squared-error"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_hebb_on_one_whitened_sample(modulation, reduction):
    """f = w . h, h = W x, |x| = 1, Delta = y - f, H = |h|^2. Squared (Bordelon & Pehlevan, theory
    6.4): Delta' = -[H + Delta f] Delta, H' = 2 Delta^2 H; else Delta' = -H Delta - Delta f,
    H' = 2 Delta H."""
    net = Net((3, 5, 1), "linear", False, "none", samples=1)
    net.x /= np.linalg.norm(net.x)
    moved, _ = net.velocity(Hebbian(modulation), reduction)

    def both(network):
        h = network.weights[0] @ net.x[:, 0]
        return net.y[0, 0] - (network.weights[1] @ h)[0], h @ h

    (delta, size), (slope, growth) = jax.jvp(both, (net.network(),), (moved,))
    f = net.y[0, 0] - delta
    power = delta if modulation == "error" else delta**2
    np.testing.assert_allclose(slope, -(size * delta + power * f), rtol=1e-12)
    np.testing.assert_allclose(growth, 2 * power * size, rtol=1e-12)


def test_hebb_keeps_the_column_space_of_linear_layers():
    """W_1' = W_1 S with S symmetric, and W_2^T moves inside W_1's columns: what lies outside them
    stays (three of the laws that `faflow laws` counts on (2, 3, 1))."""
    net = Net((2, 3, 1), "linear", False, "none")
    moved, _ = net.velocity(Hebbian())
    frame = np.linalg.svd(net.w[0])[0][:, 2]
    assert np.abs(frame @ moved.weights[0]).max() < 1e-14 < np.abs(moved.weights[0]).max()
    assert np.abs(frame @ moved.weights[1].T).max() < 1e-14


def test_hebb_without_the_square():
    net = Net((4, 6, 5, 1), "relu", True, "none")
    deltas, post = hebb(net)
    e = deltas[-1]
    plain = [*(-delta / e for delta in deltas[:-1]), e]
    for reduction, weight in (("sum", 1.0), ("mean", 1 / 9)):
        moved, _ = net.velocity(Hebbian("error"), reduction)
        assert_moves(moved, plain, post, weight)


# ---- weight mirror ------------------------------------------------------------------------------


def test_weight_mirror_moves_its_feedback():
    net = Net(DEEP, "relu", True, "layerwise")
    _, moved = net.velocity(WeightMirror(0.7, 0.2))
    for got, weight, matrix in zip(moved.matrices, net.w[1:], net.feed, strict=True):
        np.testing.assert_allclose(got, 0.7 * weight - 0.2 * matrix, rtol=1e-13, atol=1e-13)


def test_weight_mirror_at_rest():
    """Zero error: W stays and F = (gain / decay) W + e^{-decay t} (F(0) - (gain / decay) W)."""
    net = Net(SHALLOW, "tanh", False, "layerwise")
    net.y = net.forward()[1][-1]
    rule = WeightMirror(0.6, 1.5)
    problem = FlowProblem(rule, net.network(), net.feedback(), net.data())

    flow = integrate(problem, jnp.linspace(0, 2, 3), {"loss": Loss()}, Numerics(rtol=1e-11))
    aim = 0.6 / 1.5 * net.w[1]
    want = aim + np.exp(-1.5 * 2) * (net.feed[0] - aim)
    np.testing.assert_allclose(flow.feedback.matrices[0], want, rtol=1e-8, atol=1e-10)


# ---- align-ada, align-zero ----------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("widths", [SHALLOW, DEEP])
@pytest.mark.parametrize("rule", [AlignAda(), AlignZero()])
def test_frozen_backward_pass(rule, widths, bias, activation):
    """With present weights that are not the initial ones."""
    old, new = (Net(widths, activation, bias, "none", seed) for seed in (0, 1))
    new.x, new.y = old.x, old.y
    moved, stays = rule.velocity(
        jnp.zeros(()), (new.network(), old.network()), old.feedback(), old.data()
    )
    (pre, activity), post = old.forward(), new.forward()[1]
    deltas = [post[-1] - new.y]
    for l in range(len(old.w) - 1, 0, -1):
        deltas.insert(0, old.slope(pre[l - 1]) * (old.w[l].T @ deltas[0]))
    assert_moves(moved, deltas, post if isinstance(rule, AlignAda) else activity)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(stays))
    present, _ = rule.read((new.network(), old.network()), old.feedback(), old.data())
    np.testing.assert_array_equal(present.weights[0], new.w[0])


@pytest.mark.parametrize("rule", [AlignAda(), AlignZero()])
def test_control_frozen_backward_pass_breaks_the_gradients_law(rule):
    """At the start the law's rate is that of the gradient, 0; not once weights have moved."""
    old, new = (Net(DEEP, "relu", True, "none", seed) for seed in (0, 1))
    laws = balance_laws(new.network(), WeightPotential())
    for rates in largest_rates(laws, rule, old).values():
        assert rates.max() < KEPT
    assert rule.laws(new.network()) == {}
    moved, _ = rule.velocity(
        jnp.zeros(()), (new.network(), old.network()), old.feedback(), old.data()
    )
    for law in laws.values():
        value = lambda net: law(net, old.feedback(), old.data())  # noqa: B023, E731
        _, rate = jax.jvp(value, (new.network(),), (moved,))
        scale = law.scale(new.network(), old.feedback(), old.data())
        for change, size in zip(rate, scale, strict=True):
            assert np.abs(change).max() > BROKEN * np.abs(size).max()


def test_align_zero_in_the_lazy_limit_is_the_gradient_of_the_linearised_network():
    """f_lin(W) = f(W0) + Df(W0) (W - W0): its gradient with the present error, by autodiff."""
    old, new = (Net(DEEP, "tanh", True, "none", seed) for seed in (0, 1))
    data, initial, present = old.data(), old.network(), new.network()
    moved, _ = AlignZero().velocity(jnp.zeros(()), (present, initial), old.feedback(), data)
    error = data.error(present(data.inputs))
    _, pull = jax.vjp(lambda net: net(data.inputs), initial)
    for got, want in zip(jax.tree.leaves(moved), jax.tree.leaves(pull(error)[0]), strict=True):
        np.testing.assert_allclose(got, -want, rtol=1e-11, atol=1e-12)


def test_align_ada_is_feedback_alignment_in_linear_networks_only():
    """There are no masks that could differ: F = W(0)."""
    for activation, same in (("linear", True), ("relu", False)):
        old, new = (Net(DEEP, activation, True, "none", seed) for seed in (0, 1))
        data, tied = old.data(), Feedback(tuple(map(jnp.asarray, old.w[1:])), "layerwise")
        state = (new.network(), old.network())
        moved, _ = AlignAda().velocity(jnp.zeros(()), state, old.feedback(), data)
        want = FeedbackAlignment().vector_field(new.network(), tied, data)
        pairs = zip(jax.tree.leaves(moved), jax.tree.leaves(want), strict=True)
        gap = max(np.abs(got - other).max() for got, other in pairs)
        assert gap < 1e-12 if same else gap > 0.05


@pytest.mark.parametrize(("activation", "degree"), [("relu", 1), ("relu-squared", 2), ("tanh", 1)])
def test_align_zero_keeps_overlaps_with_the_initial_weights(activation, degree):
    """<W_l[j], W_l(0)[j]> + beta_lj beta_lj(0) - k <W_{l+1}[:,j], W_{l+1}(0)[:,j]> stays: all that
    moves the weights is the initial network's. Controls: tanh, and align-ada."""
    old, new = (Net(DEEP, activation, True, "none", seed) for seed in (0, 1))
    for rule, keeps in ((AlignZero(), activation != "tanh"), (AlignAda(), False)):
        state = (new.network(), old.network())
        moved, _ = rule.velocity(jnp.zeros(()), state, old.feedback(), old.data())
        for l in range(len(old.w) - 1):
            terms = (
                (old.w[l] * moved.weights[l]).sum(axis=1),
                old.b[l] * moved.biases[l],
                -degree * (old.w[l + 1] * moved.weights[l + 1]).sum(axis=0),
            )
            rate = float(np.abs(sum(terms)).max() / sum(map(np.abs, terms)).max())
            assert rate < KEPT if keeps else rate > BROKEN


# ---- target propagation -------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
def test_target_propagation_is_direct_feedback_through_the_chain(activation, measured):
    """Prediction 38: D_l = F_L ... F_{l+1}; in linear nets also feedback alignment."""
    net = Net((4, 6, 5, 4, 2), activation, True, "layerwise")
    F = net.feed
    chain = [F[2] @ F[1] @ F[0], F[2] @ F[1], F[2]]
    matrices = Feedback(tuple(map(jnp.asarray, chain)), "direct")
    rule = FixedWeightDifferenceTargetPropagation()
    moved, _ = net.velocity(rule)
    want = DirectFeedbackAlignment().vector_field(net.network(), matrices, net.data())
    layerwise, _ = net.velocity(FeedbackAlignment())
    triples = zip(*map(jax.tree.leaves, (moved, want, layerwise)), strict=True)
    misses, gaps = [], []
    for got, direct_move, layerwise_move in triples:
        size = np.abs(direct_move).max()
        misses.append(np.abs(got - direct_move).max() / size)
        gaps.append(np.abs(got - layerwise_move).max() / size)
    measured(38, f"FW-DTP against DFA, {activation}", max(misses), below=1e-12)
    bound = {"below": 1e-12} if activation == "linear" else {"above": 0.05}
    measured(38, f"FW-DTP against FA, {activation}", max(gaps), **bound)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_targets_make_the_update_of_chained_direct_feedback(activation, measured):
    """Prediction 38 from the targets themselves, by numpy: with linear g the update over 2 s is
    DFA's with chained feedback for every s, down to rounding over s."""
    net = Net(DEEP, activation, True, "layerwise")
    chain = [net.feed[1] @ net.feed[0], net.feed[1]]
    pre, post = net.forward()
    e = post[-1] - net.y
    aim = [*(net.slope(h) * (d.T @ e) for h, d in zip(pre[:-1], chain, strict=True)), e]
    for s in (1.0, 1e-3):
        deltas, _ = target_propagation(net, s)
        pairs = zip(deltas, aim, strict=True)
        miss = max(np.abs(got - want).max() / np.abs(want).max() for got, want in pairs)
        measured(38, f"targets, {activation}, s = {s:g}: update / 2s to DFA", miss, below=1e-11)


@pytest.mark.parametrize(("activation", "kept"), [("relu", (3,)), ("linear", (1, 2, 3))])
def test_target_propagation_keeps_the_law_of_the_last_hidden_layer(activation, kept):
    rule, net = (
        FixedWeightDifferenceTargetPropagation(),
        Net((4, 6, 5, 4, 2), activation, True, "layerwise"),
    )
    laws = rule.laws(net.network())
    assert all(law.layers == kept for law in laws.values())
    assert ("matrix-balance" in laws) is (activation == "linear")
    below = tuple(layer for layer in (1, 2, 3) if layer not in kept)
    lower = balance_laws(net.network(), FeedbackPotential(), layers=below)
    its_own, broken = rates_of_each(rule, net, laws, lower)
    assert all(rates.max() < KEPT for rates in its_own) and its_own
    assert all(rates.min() > BROKEN for rates in broken)
