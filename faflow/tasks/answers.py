"""Known answers, on the host in float64: what a flow's limit is compared with."""

from typing import Any

import numpy as np

from ._host import HostMatrix, numerical_rank
from .data import Data


def minimum_norm_map(data: Data) -> HostMatrix:
    """The least-squares map of least Frobenius norm, (X^+ Y)^T, shape (outputs, inputs).

    A linear network has reached it when W_L ... W_1 equals it (Robertson & Koyejo 2023, Theorem 2).
    Under sample weights s rows of X and Y are those of sqrt(s) X, sqrt(s) Y. ValueError unless
    inputs and targets of a sample are vectors.
    """
    rows = data.rooted(data.inputs), data.rooted(data.targets)
    for name, matrix in zip(("inputs", "targets"), rows, strict=True):
        if matrix.ndim != 2 or matrix.dtype.kind != "f":
            kind = "tokens" if matrix.dtype.kind != "f" else f"of shape {matrix.shape[1:]}"
            raise ValueError(
                f"Argument `data` must have vectors as samples for a minimum-norm map, but its "
                f"{name} are {kind}; flatten them."
            )
    return (pseudo_inverse(rows[0]) @ np.asarray(rows[1], np.float64)).T


def row_space_projector(inputs: Any) -> HostMatrix:
    """X^+ X, (inputs, inputs): the orthogonal projector onto span(X^T).

    Theorem 2 needs every row of W_1(0) (shape (n_1, inputs)) in that span: W_1(0) (I - X^+ X) = 0.
    """
    _, _, vt = _row_space(inputs)
    return vt.T @ vt


def best_rank_error(matrix: Any, rank: int) -> float:
    """min over rank(M) <= rank of ||Y - M||_F = sqrt(sum_{i > rank} s_i^2) (Eckart & Young)."""
    if rank < 0:
        raise ValueError(f"Argument `rank` must be >= 0, but is {rank}.")
    singular = np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)
    return float(np.linalg.norm(singular[rank:]))


def feedback_limit(matrix: Any, feedback: Any) -> HostMatrix:
    """Y P_{BY}, P_{BY} = (BY)^+ (BY): where feedback alignment takes Z W, Y (n, m), B (r, n).

    For r >= rank(Y) and a generic B this is Y itself; for r < rank(Y) it is a one-shot row-space
    sketch of Y, whatever the initial weights (docs/theory 4.3, for W of full row rank). In a
    network B is the transpose of the feedback F_2 (n, r). Setting: Garg & Vempala 2022.
    """
    y, b = np.asarray(matrix, np.float64), np.asarray(feedback, np.float64)
    if b.ndim != 2 or y.ndim != 2 or b.shape[1] != y.shape[0]:
        raise ValueError(
            f"Argument `feedback` must have shape (r, {y.shape[0]}) for a matrix of shape "
            f"{y.shape}, but has shape {b.shape}; it is F_2^T."
        )
    return y @ row_space_projector(b @ y)


def pseudo_inverse(matrix: Any) -> HostMatrix:
    """X^+ by the singular value decomposition; singular values at rounding level count as 0."""
    u, singular, vt = _row_space(matrix)
    return (vt.T / singular) @ u.T


def _row_space(matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The thin decomposition cut at the numerical rank: U (n, r), s (r,), V^T (r, m)."""
    given = np.asarray(matrix)
    if given.ndim != 2:
        raise ValueError(
            f"Argument `matrix` must be a matrix with samples as rows, but has shape {given.shape};"
            " flatten its samples."
        )
    # A float32 matrix is known to float32 rounding only: its own eps decides what is zero.
    eps = float(np.finfo(given.dtype).eps) if given.dtype.kind == "f" else 2.0**-52
    u, singular, vt = np.linalg.svd(given.astype(np.float64), full_matrices=False)
    rank = numerical_rank(singular, given.shape, eps)
    return u[:, :rank], singular[:rank], vt[:rank]
