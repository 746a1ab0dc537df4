"""The combinations of quantities whose rates cancel, with few quantities each."""

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
    return _echelon(directions[null]) / sizes if np.any(null) else np.zeros((0, rates.shape[1]))


def _echelon(rows: np.ndarray) -> np.ndarray:
    """Gauss-Jordan elimination of orthonormal rows, with row pivoting; what is negligible is 0."""
    rows, done = rows.copy(), 0
    for column in range(rows.shape[1]):
        if done == len(rows):
            break
        pivot = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[pivot, column]) <= NEGLIGIBLE:
            continue
        rows[[done, pivot]] = rows[[pivot, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= rows[others, column][:, None] * rows[done]
        done += 1
    largest = np.max(np.abs(rows), axis=1, keepdims=True, initial=0.0)
    return np.where(np.abs(rows) <= NEGLIGIBLE * largest, 0.0, rows)
