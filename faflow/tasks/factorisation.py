"""Low-rank matrix factorisation as a two-layer linear network on the identity."""

from collections.abc import Sequence

import numpy as np

from ._host import Key, Raw, Real, generators, non_negative, positive


def matrix_factorisation(*, key: Key, rows: int, columns: int, spectrum: Sequence[Real]) -> Raw:
    """min over Z, W of ||Z W - Y||_F, Y = U S V^T (rows, columns) with the given singular values.

    Inputs are the identity (columns, columns) and targets Y^T (columns, rows): a linear network
    with W_1 = W (r, columns) and W_2 = Z (rows, r) has outputs (Z W)^T, and its feedback F_2
    (rows, r) is the transpose of the paper's B (r, rows). U and V have Haar-distributed
    orthonormal columns. Garg & Vempala 2022; sizes and spectra are the caller's, not the paper's.
    ValueError if the spectrum is empty, negative or longer than min(rows, columns).
    """
    positive("rows", rows)
    positive("columns", columns)
    values = np.array([non_negative("spectrum", value) for value in spectrum])
    if not 1 <= len(values) <= min(rows, columns):
        raise ValueError(
            f"Argument `spectrum` must list 1 to {min(rows, columns)} singular values for a "
            f"{rows} x {columns} matrix, but lists {len(values)}."
        )
    left, right = generators(key, 2)
    u = orthonormal_columns(left, rows, len(values))
    v = orthonormal_columns(right, columns, len(values))
    return np.eye(columns), (v * values) @ u.T


def separating_factorisation(*, key: Key, rank: int, tail: int, tail_energy: Real) -> Raw:
    """`matrix_factorisation` that feedback alignment of width `rank` can't do well: `rank` singular
    values 1 and `tail` of sqrt(tail_energy / tail), Y square.

    The best error of that rank is sqrt(tail_energy). For tail >> rank and gaussian feedback

        error^2 / tail_energy ~ 1 + sum_i 1 / (tail_energy + s_i^2) ~ 1 + sqrt(rank / tail_energy),

    s_i the singular values of a (rank, rank) matrix with entries N(0, 1): unbounded in rank. Ours,
    for the separation that Garg & Vempala 2022 prove; their matrix is not known to us.
    ValueError if rank or tail is < 1 or tail_energy is negative.
    """
    share = non_negative("tail_energy", tail_energy) / positive("tail", tail)
    spectrum = [1.0] * positive("rank", rank) + [share**0.5] * tail
    return matrix_factorisation(key=key, rows=rank + tail, columns=rank + tail, spectrum=spectrum)


def near_identity_factorisation(*, key: Key, size: int, spread: Real = 1e-3) -> Raw:
    """`matrix_factorisation` of a rotation, nearly: singular values from 1 + spread down to 1.

    Gradient descent and feedback alignment of width r end at the same error, up to the spread, but
    with representations that overlap by r / size only (`representation_overlap`). Ours, for the
    claim of Garg & Vempala 2022. ValueError if size is < 1 or the spread negative.
    """
    spectrum = 1.0 + non_negative("spread", spread) * np.linspace(1.0, 0.0, positive("size", size))
    return matrix_factorisation(key=key, rows=size, columns=size, spectrum=spectrum.tolist())


def orthonormal_columns(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A (rows, columns) matrix with orthonormal columns, Haar-distributed (Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    # QR alone fixes no signs and is not uniform; sign(diag R) makes it so.
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)
