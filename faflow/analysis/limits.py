"""Where a flow ended against where theory says it ends: minimum norm, factorisation limits."""

from typing import Any, NamedTuple

import numpy as np

from ..feedback import Feedback
from ..networks import AbstractNetwork, is_linear
from ..observables import linear_map
from ..tasks import (
    Data,
    best_rank_error,
    feedback_limit,
    minimum_norm_map,
    row_space_projector,
)
from ..tasks.losses import Squared

CONDITION = 1e-10  # relative size of W_1(0) outside the data's span that counts as zero


class MinimumNormReport(NamedTuple):
    """A linear net's end against the minimum-norm solution M = (X^+ Y)^T.

    `relative_distance` = ||W_L...W_1 - M||_F / ||M||_F; `norm_ratio` = ||W_L...W_1||_F / ||M||_F;
    `condition_met`: W_1(0) (I - X^+ X) = 0, every row of W_1(0) in the span of the data, which
    is what Theorem 2's limit needs; `smallest_singular_value` of X, whose square sets the rate.
    """

    relative_distance: float
    norm_ratio: float
    condition_met: bool
    smallest_singular_value: float


class FactorisationReport(NamedTuple):
    """||Z W - Y||_F at the end (`error`), the best of its rank (`optimum`, Eckart-Young), their
    ratio (`excess`, nan where the optimum is zero to rounding), the error of feedback alignment's
    limit Y P_{BY} (`limit_error`) and ||Z W - Y P_{BY}||_F / ||Y||_F (`limit_distance`); the last
    two are nan without feedback. `overlap`: `representation_overlap` of W with the first right
    singular vectors of Y, as many as W has rows (at most Y's rank); nan for W of lower rank."""

    error: float
    optimum: float
    excess: float
    limit_error: float
    limit_distance: float
    overlap: float


def minimum_norm_report(
    weights0: AbstractNetwork, weights_end: AbstractNetwork, data: Data
) -> MinimumNormReport | None:
    """None unless the net is linear without biases, the loss squared, and X has fewer samples
    than inputs and independent rows (so that many maps fit and one has minimum norm)."""
    if not is_linear_squares(weights_end, data):
        return None
    inputs = np.asarray(data.rooted(data.inputs))
    singular = np.linalg.svd(inputs, compute_uv=False)
    smallest = float(singular.min())
    if inputs.shape[0] >= inputs.shape[1] or smallest <= 1e-12 * singular.max():
        return None
    answer, reached = minimum_norm_map(data), np.asarray(linear_map(weights_end))
    first = np.asarray(weights0.weights[0])
    outside = first - first @ row_space_projector(inputs)
    size = np.linalg.norm(answer)
    return MinimumNormReport(
        relative_distance=_share(np.linalg.norm(reached - answer), size),
        norm_ratio=_share(np.linalg.norm(reached), size),
        condition_met=bool(np.linalg.norm(outside) <= CONDITION * np.linalg.norm(first)),
        smallest_singular_value=smallest,
    )


def factorisation_report(
    weights_end: AbstractNetwork, feedback: Feedback, data: Data
) -> FactorisationReport | None:
    """None unless this is min ||Z W - Y||: two linear layers, identity inputs, squared loss.

    W = W_1 (r, m), Z = W_2 (n, r), Y = targets^T (n, m), B = F_2^T (r, n).
    """
    if not is_factorisation(weights_end, data):
        return None
    target = np.asarray(data.targets).T
    product = np.asarray(linear_map(weights_end))
    limit_error = limit_distance = float("nan")
    if feedback.matrices:
        limit = feedback_limit(target, np.asarray(feedback.matrices[-1]).T)
        limit_error = float(np.linalg.norm(target - limit))
        limit_distance = _share(np.linalg.norm(product - limit), np.linalg.norm(target))
    rank = weights_end.weights[0].shape[0]
    error, optimum = float(np.linalg.norm(product - target)), best_rank_error(target, rank)
    exact = optimum <= 1e-12 * np.linalg.norm(target)
    return FactorisationReport(
        error=error,
        optimum=optimum,
        excess=float("nan") if exact else error / optimum,
        limit_error=limit_error,
        limit_distance=limit_distance,
        overlap=_overlap_with_best(np.asarray(weights_end.weights[0]), target),
    )


def representation_overlap(first: Any, second: Any) -> float:
    """||P Q||_F^2 / k in [0, 1], P and Q the projectors on the row spaces of two matrices with
    equally many columns, k the smaller of their ranks: 1 where one representation holds the other,
    0 where they are orthogonal, (larger rank) / columns on average for random ones.

    The measure is ours, for the claim of Garg & Vempala 2022 that representations of gradient
    descent and feedback alignment may be almost orthogonal. ValueError if columns differ in number
    or a matrix is zero.
    """
    p, q = row_space_projector(first), row_space_projector(second)
    if p.shape != q.shape:
        raise ValueError(
            "Arguments `first` and `second` must have equally many columns, but have "
            f"{len(p)} and {len(q)}."
        )
    rank = round(min(np.trace(p), np.trace(q)))
    if rank == 0:
        raise ValueError("Arguments `first` and `second` must not be zero, but one of them is.")
    return float(np.sum(p * q)) / rank


def _overlap_with_best(w: np.ndarray, target: np.ndarray) -> float:
    rank = min(len(w), np.linalg.matrix_rank(target))
    if rank == 0 or not np.all(np.isfinite(w)) or np.linalg.matrix_rank(w) < rank:
        return float("nan")
    return representation_overlap(w, np.linalg.svd(target)[2][:rank])


def _share(part: np.floating, whole: np.floating) -> float:
    """part / whole, nan where the whole is zero."""
    return float(part / whole) if whole > 0 else float("nan")


def is_factorisation(weights: AbstractNetwork, data: Data) -> bool:
    """Whether this is min ||Z W - Y||_F: two linear layers, identity inputs, squared loss."""
    if data.inputs.ndim != 2 or data.sample_weights is not None:
        return False
    inputs = np.asarray(data.inputs)
    identity = inputs.shape[0] == inputs.shape[1] and np.array_equal(inputs, np.eye(len(inputs)))
    return is_linear_squares(weights, data) and identity and len(weights.weights) == 2


def is_linear_squares(weights: AbstractNetwork, data: Data) -> bool:
    """Whether this is linear regression by a network: no biases, squared loss."""
    return is_linear(weights) and not weights.biases and isinstance(data.loss, Squared)
