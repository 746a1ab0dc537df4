import numpy as np
import pytest

from faflow.tasks import (
    best_rank_error,
    feedback_limit,
    make_data,
    minimum_norm_map,
    pseudo_inverse,
    row_space_projector,
)

RNG = np.random.default_rng(7)
WIDE = RNG.standard_normal((4, 9))
TALL = RNG.standard_normal((9, 4))
LOW = RNG.standard_normal((6, 2)) @ RNG.standard_normal((2, 5))


@pytest.mark.parametrize("x", [WIDE, TALL, LOW], ids=["wide", "tall", "low-rank"])
def test_pseudo_inverse_and_projector(x):
    np.testing.assert_allclose(pseudo_inverse(x), np.linalg.pinv(x, rcond=1e-12), atol=1e-12)
    p = row_space_projector(x)
    np.testing.assert_allclose(p, np.linalg.pinv(x, rcond=1e-12) @ x, atol=1e-12)
    np.testing.assert_allclose(p @ p, p, atol=1e-13)


def test_minimum_norm_map_solves_the_kkt_system():
    # min 1/2 ||w||^2 subject to X w = y:  [I X^T; X 0] [w; mu] = [0; y].
    y = RNG.standard_normal((4, 2))
    kkt = np.block([[np.eye(9), WIDE.T], [WIDE, np.zeros((4, 4))]])
    w = np.linalg.solve(kkt, np.vstack([np.zeros((9, 2)), y]))[:9]
    np.testing.assert_allclose(minimum_norm_map(make_data(WIDE, y)), w.T, atol=1e-12)


def test_minimum_norm_map_solves_the_normal_equations():
    y = RNG.standard_normal(9)
    w = np.linalg.solve(TALL.T @ TALL, TALL.T @ y)
    np.testing.assert_allclose(minimum_norm_map(make_data(TALL, y)), w[None, :], atol=1e-12)


def test_minimum_norm_map_of_weighted_samples():
    """Weighted normal equations; and a sample of weight 0 is as if it were not there."""
    y, s = RNG.standard_normal((9, 2)), np.arange(9.0)
    w = np.linalg.solve(TALL.T @ (s[:, None] * TALL), TALL.T @ (s[:, None] * y))
    found = minimum_norm_map(make_data(TALL, y, sample_weights=s))
    np.testing.assert_allclose(found, w.T, atol=1e-12)
    np.testing.assert_raises(
        AssertionError, np.testing.assert_allclose, found, minimum_norm_map(make_data(TALL, y))
    )
    y = RNG.standard_normal(4)
    left = minimum_norm_map(make_data(WIDE, y, sample_weights=[1, 2, 0, 1]))
    rows = [0, 1, 3]
    np.testing.assert_allclose(left, minimum_norm_map(make_data(WIDE[rows], y[rows])), atol=1e-12)


def test_a_minimum_norm_map_needs_vectors():
    for data, word in (
        (make_data(np.ones((3, 2, 2)), np.ones(3)), r"inputs are of shape \(2, 2\)"),
        (make_data(np.ones((3, 2)), np.ones((3, 2, 2))), r"targets are of shape \(2, 2\)"),
        (make_data(np.ones((3, 2)), np.ones(3), tokens=True), "inputs are tokens"),
    ):
        with pytest.raises(ValueError, match=word):
            minimum_norm_map(data)
    with pytest.raises(ValueError, match="samples as rows"):
        row_space_projector(np.ones((3, 2, 2)))


def test_rank_is_judged_in_the_precision_given():
    single = LOW.astype(np.float32)
    assert round(np.trace(row_space_projector(single))) == 2
    assert np.abs(pseudo_inverse(single)).max() < 10 * np.abs(pseudo_inverse(LOW)).max()


def test_zero_matrix_has_zero_answers():
    np.testing.assert_array_equal(pseudo_inverse(np.zeros((3, 2))), np.zeros((2, 3)))
    np.testing.assert_array_equal(row_space_projector(np.zeros((3, 2))), np.zeros((2, 2)))


def test_best_rank_error_is_the_truncation_error():
    u, s, vt = np.linalg.svd(TALL, full_matrices=False)
    for rank in range(5):
        error = np.linalg.norm(TALL - (u[:, :rank] * s[:rank]) @ vt[:rank])
        assert best_rank_error(TALL, rank) == pytest.approx(error, abs=1e-12)
    with pytest.raises(ValueError, match="rank"):
        best_rank_error(TALL, -1)


def test_feedback_limit():
    b = RNG.standard_normal((2, 9))
    limit = feedback_limit(TALL, b)
    p = np.linalg.pinv(b @ TALL) @ (b @ TALL)
    np.testing.assert_allclose(limit, TALL @ p, atol=1e-12)
    # Stationarity of theory 4.3: B (Y - limit) = 0; and never better than the best rank 2.
    np.testing.assert_allclose(b @ (TALL - limit), 0, atol=1e-12)
    assert np.linalg.norm(TALL - limit) >= best_rank_error(TALL, 2)
    enough = RNG.standard_normal((3, 6))
    np.testing.assert_allclose(feedback_limit(LOW, enough), LOW, atol=1e-12)
    with pytest.raises(ValueError, match="F_2\\^T"):
        feedback_limit(TALL, b.T)
