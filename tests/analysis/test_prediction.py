"""Predicted exponents against closed-form spectra, written here from the papers' equations."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import predict_exponent, residual_operator
from faflow.feedback import Feedback
from faflow.networks import MLP, Linear
from faflow.networks.activations import Tanh
from faflow.rules import (
    DirectFeedbackAlignment,
    FAStar,
    FeedbackAlignment,
    Gradient,
    KolenPollack,
)
from faflow.tasks import make_data

RNG = np.random.default_rng(7)


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape))


def zero_residual(widths, samples, activation=None):
    """A net, layerwise feedback, and data that it fits exactly."""
    weights = tuple(draw(out, into) for into, out in pairwise(widths))
    net = MLP(weights, (), activation or Linear())
    inputs = draw(samples, widths[0])
    feedback = Feedback(tuple(0.3 * w + draw(*w.shape) for w in weights[1:]), "layerwise")
    return net, feedback, make_data(inputs, net(inputs))


def nudged(net):
    return jax.tree.map(lambda leaf: leaf + 0.1 * draw(*leaf.shape), net)


@pytest.fixture(autouse=True, params=[0, 100], ids=["matrix-free", "matrix"])
def small(request, monkeypatch) -> None:
    """Both ways of applying K: these residuals are small, so that a matrix would serve them all."""
    monkeypatch.setattr("faflow.analysis.prediction.SMALL", request.param)


def test_theorem_2_rate_is_the_smallest_eigenvalue_of_h():
    """H = (b.w_2) X X^T + X W_1 W_1^T X^T (theory: section 3, W_1 transposed there)."""
    net, feedback, data = zero_residual((9, 6, 1), 4)
    start = (nudged(net), feedback)
    first, second = map(np.asarray, net.weights)
    # e' = -H e is stable for b.w_2 > 0: take b along w_2.
    b = second + 0.1 * RNG.normal(size=second.shape)
    feedback = Feedback((jnp.asarray(b),), "layerwise")
    x = np.asarray(data.inputs)
    h = float((b @ second.T)[0, 0]) * x @ x.T + x @ first.T @ first @ x.T
    expected = np.linalg.eigvalsh(h)[0]
    for rule, back in (
        (FeedbackAlignment(), feedback),
        (DirectFeedbackAlignment(), Feedback((jnp.asarray(b),), "direct")),
        (KolenPollack(0.0), feedback),
    ):
        got = predict_exponent(rule, net, back, data, start)
        assert got.status == "ok"
        assert got.rate == pytest.approx(expected, rel=1e-7)


def test_mean_reduction_slows_time_by_the_number_of_samples():
    net, _, data = zero_residual((5, 4, 1), 3)
    mean = make_data(np.asarray(data.inputs), np.asarray(data.targets), reduction="mean")
    start = (nudged(net), Feedback())
    whole = predict_exponent(Gradient(), net, Feedback(), data, start).rate
    assert predict_exponent(Gradient(), net, Feedback(), mean, start).rate == pytest.approx(
        whole / 3, rel=1e-9
    )


def test_directions_that_the_residual_cannot_enter_are_dropped():
    """Garg & Vempala with rank-2 Y and zero weights: k^2 = 4 directions of the nm = 30 count,
    K = (U^T Z B U) (x) I + I (x) (V^T W^T W V)."""
    left, _ = np.linalg.qr(RNG.normal(size=(6, 2)))
    right, _ = np.linalg.qr(RNG.normal(size=(5, 2)))
    y = left @ np.diag([2.0, 1.0]) @ right.T
    b = RNG.normal(size=(3, 6))
    # From zero weights W = G V^T and Z = U H: take any such pair with Z W = Y.
    g = b @ left @ np.diag([1.0, 0.7])
    h = left.T @ y @ right @ np.linalg.pinv(g)
    net = MLP((jnp.asarray(g @ right.T), jnp.asarray(left @ h)))
    zero = MLP((jnp.zeros((3, 5)), jnp.zeros((6, 3))))
    feedback = Feedback((jnp.asarray(b.T),), "layerwise")
    data = make_data(np.eye(5), y.T)
    operator = np.kron(h @ b @ left, np.eye(2)) + np.kron(np.eye(2), right.T @ right @ g.T @ g)
    expected = np.linalg.eigvals(operator).real.min()
    got = predict_exponent(FeedbackAlignment(), net, feedback, data, (zero, feedback))
    assert got.dimension == 4
    assert got.rate == pytest.approx(expected, rel=1e-8)
    # Control: from a start that enters every direction another, smaller rate comes out.
    full = predict_exponent(FeedbackAlignment(), net, feedback, data, (nudged(net), feedback))
    assert full.dimension > 4 and full.rate < expected - 1e-3


def test_fa_star_rate_is_the_smallest_eigenvalue_of_bz():
    y = RNG.normal(size=(5, 2)) @ RNG.normal(size=(2, 7))
    w = np.vstack([np.linalg.svd(y)[2][:2], RNG.normal(size=(1, 7))])
    z = y @ np.linalg.pinv(w)
    b = z.T + 0.2 * RNG.normal(size=(3, 5))
    net = MLP((jnp.asarray(w), jnp.asarray(z)))
    feedback = Feedback((jnp.asarray(b.T),), "layerwise")
    rates = np.linalg.eigvals(b @ z)
    expected = rates.real[np.abs(rates) > 1e-9].min()
    got = predict_exponent(FAStar(), net, feedback, make_data(np.eye(7), y.T))
    assert got.rate == pytest.approx(expected, rel=1e-6)


def test_residual_operator_is_the_derivative_of_the_residual_along_the_field():
    """K e = -e' for a deep tanh net, e' by finite differences along the rule's own velocity."""
    net, feedback, data = zero_residual((3, 4, 4, 2), 5, Tanh())
    moved = nudged(net)
    rule = FeedbackAlignment()
    residual = data.residual(moved(data.inputs))
    velocity = rule.vector_field(moved, feedback, data)
    step = 1e-6
    ahead, behind = (
        jax.tree.map(lambda w, v, s=sign: w + s * step * v, moved, velocity) for sign in (1, -1)
    )
    change = (ahead(data.inputs) - behind(data.inputs)) / (2 * step)
    operator = residual_operator(rule, moved, feedback, data)
    np.testing.assert_allclose(operator(residual), -change, rtol=1e-6, atol=1e-8)


def test_refusals():
    net, feedback, data = zero_residual((3, 4, 2), 5)
    labels = np.eye(2)[[0, 1, 0, 1, 1]]
    entropy = make_data(np.asarray(data.inputs), labels, loss="cross-entropy")
    assert predict_exponent(Gradient(), net, Feedback(), entropy).status == "unavailable"
    away = eqx.tree_at(lambda d: d.targets, data, data.targets + 1.0)
    start = (nudged(net), feedback)
    assert predict_exponent(Gradient(), net, Feedback(), away, start).status == "residual-stays"
    against = Feedback(tuple(-w for w in net.weights[1:]), "layerwise")
    assert predict_exponent(FeedbackAlignment(), net, against, data, start).status == "not-stable"


def test_large_residual_spaces_give_a_ritz_value(monkeypatch):
    net, _, data = zero_residual((6, 5, 2), 8)
    start = (nudged(net), Feedback())
    whole = predict_exponent(Gradient(), net, Feedback(), data, start)
    monkeypatch.setattr("faflow.analysis.prediction.LARGEST", 3)
    monkeypatch.setattr("faflow.analysis.prediction.CUT", 3)
    near = jax.tree.map(lambda a, b: a + 1e-4 * (b - a), net, start[0])
    part = predict_exponent(Gradient(), near, Feedback(), data, start)
    assert whole.status == "ok" and part.status in ("partial", "not-stable")
