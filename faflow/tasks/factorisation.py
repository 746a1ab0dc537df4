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


def orthonormal_columns(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A (rows, columns) matrix with orthonormal columns, Haar-distributed (Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    # QR alone fixes no signs and is not uniform; sign(diag R) makes it so.
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)
