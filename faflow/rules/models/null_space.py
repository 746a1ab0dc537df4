"""The combinations of quantities whose rates cancel, with few quantities each."""

from collections.abc import Iterable

import numpy as np

from ..._numbers import Numbers

NEGLIGIBLE = 1e-7  # a coefficient beside the largest of its combination
GAP = 1e3  # between what counts as zero and what does not


def sparse_null_space(rates: Numbers, sizes: Numbers, kept: float) -> np.ndarray:
    """Rows c with rates @ c = 0, in reduced echelon form: the first of each is in no other.

    `rates` (measurements, quantities); `sizes`: of each quantity, which rates are small beside;
    `kept`: how small. No rows where the singular values leave no gap there.
    """
    rates, sizes = np.asarray(rates), np.asarray(sizes)
    if not rates.shape[1]:
        return np.zeros((0, 0))
    _, values, directions = np.linalg.svd(rates / sizes, full_matrices=True)
    values = np.concatenate([values, np.zeros(rates.shape[1] - len(values))])
    bound = kept * max(1.0, values[0])
    null = values <= bound
    if np.any(null) and np.any(~null) and np.min(values[~null]) < GAP * bound:
        null = values <= -1.0
    if not np.any(null):
        return np.zeros((0, rates.shape[1]))
    rows, _ = gauss_jordan(directions[null], range(rates.shape[1]), NEGLIGIBLE)
    largest = np.max(np.abs(rows), axis=1, keepdims=True, initial=0.0)
    return np.where(np.abs(rows) <= NEGLIGIBLE * largest, 0.0, rows) / sizes


def gauss_jordan(
    rows: np.ndarray, order: Iterable[int], negligible: float
) -> tuple[np.ndarray, int]:
    """Orthonormal rows reduced, with row pivoting, the columns of leading terms in the given order;
    and how many rows have one that is not `negligible`."""
    rows, done = rows.copy(), 0
    for column in order:
        if done == len(rows):
            break
        pivot = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[pivot, column]) <= negligible:
            continue
        rows[[done, pivot]] = rows[[pivot, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= rows[others, column][:, None] * rows[done]
        done += 1
    return rows, done
