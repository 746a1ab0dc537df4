"""Certificates and limit reports against hand-made end points."""

import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import (
    alignment_certificate,
    factorisation_report,
    minimum_norm_report,
    representation_overlap,
)
from faflow.feedback import Feedback
from faflow.networks import MLP
from faflow.networks.activations import Tanh
from faflow.rules import DirectFeedbackAlignment, FeedbackAlignment, Gradient
from faflow.tasks import make_data

RNG = np.random.default_rng(11)
DATA = make_data(np.ones((2, 3)), np.ones((2, 1)))


def test_certificate_of_theorem_1s_corollary():
    """W_2(0) = B, ||W_1(0)|| <= ||B||: <W_2, B> >= 1/2 ||B||^2 at all times."""
    b = RNG.normal(size=(1, 4))
    first = RNG.normal(size=(4, 3))
    first *= np.linalg.norm(b) / np.linalg.norm(first)
    net = MLP((jnp.asarray(first), jnp.asarray(b)))
    feedback = Feedback((jnp.asarray(b),), "layerwise")
    inner = np.array([[np.sum(b**2)], [0.6 * np.sum(b**2)]])
    reached = np.array([True, True])
    rule = FeedbackAlignment()
    got = alignment_certificate(rule, net, feedback, inner, reached, DATA)
    assert got is not None and got.certified and got.held
    np.testing.assert_allclose(got.floor, [0.5 * np.sum(b**2)], rtol=1e-12)
    fell = alignment_certificate(rule, net, feedback, 0.6 * inner, reached, DATA)
    assert fell is not None and not fell.held
    # W_1 sqrt 2 times larger than B: no guarantee is left.
    loose = MLP((jnp.asarray(1.5 * first), jnp.asarray(b)))
    weak = alignment_certificate(rule, loose, feedback, inner, reached, DATA)
    assert weak is not None and not weak.certified


def test_direct_feedback_certifies_no_layer_but_the_last():
    """D_1 against the forward product: anti-aligned below, aligned above."""
    weights = tuple(jnp.asarray(RNG.normal(size=s)) for s in ((4, 3), (4, 4), (1, 4)))
    net = MLP(tuple(0.1 * w for w in weights[:2]) + weights[2:])
    down = -(net.weights[2] @ net.weights[1])
    feedback = Feedback((down, net.weights[2]), "direct")
    inner = np.array([[-float(jnp.sum(down**2)), float(jnp.sum(net.weights[2] ** 2))]])
    got = alignment_certificate(
        DirectFeedbackAlignment(), net, feedback, inner, np.ones(1, bool), DATA
    )
    assert got is not None and not got.certified
    assert np.isnan(got.floor[0]) and got.floor[1] > 0 and got.held


def test_no_certificate_without_the_law():
    net = MLP((jnp.ones((4, 3)), jnp.ones((1, 4))), (), Tanh())
    feedback = Feedback((jnp.ones((1, 4)),), "layerwise")
    inner, reached = np.ones((2, 1)), np.ones(2, bool)
    assert alignment_certificate(FeedbackAlignment(), net, feedback, inner, reached, DATA) is None
    assert alignment_certificate(Gradient(), net, feedback, inner, reached, DATA) is None
    direct = Feedback((jnp.ones((1, 4)),), "direct")
    assert (
        alignment_certificate(DirectFeedbackAlignment(), net, direct, inner, reached, DATA) is None
    )


def test_minimum_norm_report_tells_the_solution_from_another_zero_of_the_residual():
    x, y = RNG.normal(size=(3, 7)), RNG.normal(size=(3, 1))
    data = make_data(x, y)
    best = np.linalg.lstsq(x, y, rcond=None)[0].T
    outside = np.linalg.svd(x)[2][-1:]
    inside = MLP((jnp.asarray(x[:2]), jnp.ones((1, 2))))
    good = minimum_norm_report(inside, MLP((jnp.asarray(best), jnp.ones((1, 1)))), data)
    assert good is not None and good.condition_met
    assert good.relative_distance < 1e-13 and good.norm_ratio == pytest.approx(1.0)
    assert good.smallest_singular_value == pytest.approx(np.linalg.svd(x)[1].min())
    away = MLP((jnp.asarray(outside), jnp.ones((1, 1))))
    other = MLP((jnp.asarray(best + outside), jnp.ones((1, 1))))
    bad = minimum_norm_report(away, other, data)
    assert bad is not None and not bad.condition_met
    assert bad.relative_distance == pytest.approx(1 / np.linalg.norm(best))
    tall = make_data(RNG.normal(size=(9, 7)), RNG.normal(size=(9, 1)))
    assert minimum_norm_report(inside, inside, tall) is None


def test_factorisation_report():
    y = RNG.normal(size=(5, 2)) @ np.diag([3.0, 1.0]) @ RNG.normal(size=(2, 6))
    b = RNG.normal(size=(1, 5))
    row = b @ y / np.linalg.norm(b @ y)
    z = y @ row.T
    net = MLP((jnp.asarray(row), jnp.asarray(z)))
    feedback = Feedback((jnp.asarray(b.T),), "layerwise")
    got = factorisation_report(net, feedback, make_data(np.eye(6), y.T))
    assert got is not None
    assert got.limit_distance < 1e-14
    assert got.error == pytest.approx(got.limit_error)
    assert got.optimum == pytest.approx(np.linalg.svd(y)[1][1])
    assert got.error > 1.01 * got.optimum
    assert factorisation_report(net, feedback, make_data(2 * np.eye(6), y.T)) is None


def test_report_tells_how_much_of_the_best_rows_is_there():
    """W at 30 degrees to the best right singular vector, and W of too low a rank."""
    y = np.diag([3.0, 1.0])
    w = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6)]])
    report = factorisation_report(
        MLP((jnp.asarray(5 * w), jnp.ones((2, 1)))), Feedback(), make_data(np.eye(2), y.T)
    )
    assert report is not None and report.overlap == pytest.approx(0.75, rel=1e-14)
    zero = MLP((jnp.zeros((1, 2)), jnp.ones((2, 1))))
    report = factorisation_report(zero, Feedback(), make_data(np.eye(2), y.T))
    assert report is not None and np.isnan(report.overlap)


def test_representation_overlap_by_principal_angles():
    """mean cos^2 of the angles between row spaces; blind to what basis spans them."""
    frame = np.linalg.qr(RNG.normal(size=(7, 7)))[0]
    angles = np.array([0.2, 0.9])
    first, second = (
        frame[:2],
        np.cos(angles)[:, None] * frame[:2] + np.sin(angles)[:, None] * frame[2:4],
    )
    expected = np.mean(np.cos(angles) ** 2)
    mixed = RNG.normal(size=(2, 2)) @ second
    assert representation_overlap(first, mixed) == pytest.approx(expected, rel=1e-12)
    assert representation_overlap(first, frame[:4]) == pytest.approx(1.0, rel=1e-14)
    assert representation_overlap(first, frame[4:]) < 1e-14
    assert representation_overlap(first, first + 0.3 * frame[2:4]) < 0.95  # control
    for bad in (np.ones((2, 6)), np.zeros((2, 7))):
        with pytest.raises(ValueError, match="must"):
            representation_overlap(first, bad)
