"""The papers' laws in plain numpy, as sums of quadratic terms of a block's leaves.

Leaves go by the ends of their paths: "first", "key", "conv1". A law gives its terms T_k, and is
their sum. The rate of a quadratic form along v is exact by polarisation,
dT[v] = (T(w + v) - T(w - v)) / 2: no derivative is asked of anything.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Leaves = Mapping[str, np.ndarray]
Law = Callable[[Leaves], Sequence[np.ndarray]]


def relative_rate(law: Law, leaves: Leaves, moves: Leaves) -> float:
    """The largest |sum_k dT_k| of the law's entries, over the largest sum_k |dT_k|; 0 where nothing
    moves (an input that wakes no unit)."""
    if not _norm(moves):
        return 0.0
    size = _norm(leaves) / _norm(moves)
    ahead, behind = (
        law({name: leaf + way * size * moves[name] for name, leaf in leaves.items()})
        for way in (1.0, -1.0)
    )
    changes = [(a - b) / 2 for a, b in zip(ahead, behind, strict=True)]
    scale = np.max(np.sum(np.abs(changes), axis=0))
    return float(np.max(np.abs(np.sum(changes, axis=0))) / (scale or 1.0))


def _norm(leaves: Leaves) -> float:
    return float(np.sqrt(np.sum([np.sum(leaf**2) for leaf in leaves.values()])))


def gram(first: str, second: str, factor: float = -1.0) -> Law:
    """A A^T + factor B^T B."""
    return lambda w: (w[first] @ w[first].T, factor * w[second].T @ w[second])


def grams(first: str, second: str, factor: float = -1.0) -> Law:
    """A A^T + factor B B^T."""
    return lambda w: (w[first] @ w[first].T, factor * w[second] @ w[second].T)


def units(first: str, second: str, bias: bool = False, factor: float = -1.0) -> Law:
    """|A_k|^2 (+ b_k^2) + factor |B_k|^2 per row k of A and column k of B."""

    def law(w: Leaves) -> list[np.ndarray]:
        own = [np.sum(w[first] ** 2, axis=1), factor * np.sum(w[second] ** 2, axis=0)]
        return [*own, w[f"{first}.bias"] ** 2] if bias else own

    return law


def channels(first: str, second: str, shift: int = 0) -> Law:
    """|u_j|^2 - |v_{j + shift}|^2 per hidden channel j: filters (out, in, height, width)."""
    return lambda w: (
        np.sum(w[first] ** 2, axis=(1, 2, 3)),
        -np.roll(np.sum(w[second] ** 2, axis=(0, 2, 3)), shift),
    )


def heads(first: str, second: str, count: int, by_columns: bool = False, shift: int = 0) -> Law:
    """A_h A_h^T - B_h B_h^T (B_h^T B_h, if `by_columns`) for every head h, stacked; of B's heads
    the one `shift` further."""

    def law(w: Leaves) -> tuple[np.ndarray, np.ndarray]:
        other = w[second].T if by_columns else w[second]
        one, two = (m.reshape(count, -1, m.shape[1]) for m in (w[first], other))
        two = np.roll(two, shift, axis=0)
        return one @ one.transpose(0, 2, 1), -two @ two.transpose(0, 2, 1)

    return law


def planes(first: str, second: str, shift: int = 0) -> Law:
    """|A^(j)|^2 - |B^(j)|^2 per pair of rows (2j, 2j + 1), in which a frequency turns; `shift`: of
    the rows that are paired."""

    def law(w: Leaves) -> tuple[np.ndarray, np.ndarray]:
        one, two = (np.sum(w[name] ** 2, axis=1) for name in (first, second))
        one = np.roll(one, shift)
        return np.sum(one.reshape(-1, 2), axis=1), -np.sum(two.reshape(-1, 2), axis=1)

    return law


def sums(name: str, axis: int = 0) -> Law:
    """sum_i A_i, entry by entry: linear, so it is squared with nothing and rated as it is."""
    return lambda w: list(np.moveaxis(w[name], axis, 0))


def both(*laws: Law) -> Law:
    """Several laws, entry after entry; all have equally many terms."""

    def law(w: Leaves) -> list[np.ndarray]:
        told = [[np.ravel(term) for term in each(w)] for each in laws]
        return [np.concatenate(terms) for terms in zip(*told, strict=True)]

    return law
