"""Singular values of the weights, and of their product, over time."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ...compare.curves import PageCurve, PagePanel
from ...compare.subject import Subject
from ...measures.recorded.series import WEIGHTS
from ...measures.tables import in_short

LARGEST = 4  # singular values of a matrix that are drawn
MATRICES = 8  # of a model, the largest ones
NUMBERS = 4_000_000  # of weights over time that are decomposed; of more fewer saves
ENDS = "known at the start and the end only: with observe.save_weights = true at every save"
_LAYER = re.compile(r"W(\d+)")


def spectrum_panels(subjects: Sequence[Subject]) -> Iterator[PagePanel]:
    """Of runs: the largest singular values of every matrix, and of W_L ... W_1 of a chain."""
    single = PagePanel("singular", "Singular values of the weights", "largest singular values")
    product = PagePanel("singular-product", "Singular values of W_L … W_1", "singular values")
    for subject in subjects:
        if subject.members is not None:
            continue
        times, arrays, whole = _weights(subject)
        notes = [] if whole else [ENDS]
        for name, stack in arrays.items():
            place = _LAYER.fullmatch(name)
            layer = place[1] if place else in_short(name)
            single.curves += _curves(subject.cases[0], layer, times, stack)
        chain = _product(arrays)
        if chain is not None:
            product.curves += _curves(subject.cases[0], "", times, chain)
            product.notes += notes
        single.notes += notes
    yield from (panel for panel in (single, product) if panel.curves)


def _weights(subject: Subject) -> tuple[np.ndarray, dict[str, np.ndarray], bool]:
    """Times, matrices by name (saves, rows, columns), and whether all saves have them."""
    result = subject.result
    stored = result.group(WEIGHTS)
    if stored is not None:
        named = {str(name): found.values for name, found in stored.data_vars.items()}
        times = result.times
    else:
        start, end = (result.records[part].to_dataset() for part in ("start", "final"))
        both = [name for name in start.data_vars if name in end]
        named = {str(name): np.stack([start[name].values, end[name].values]) for name in both}
        times = np.array([0.0, float(subject.summary["t_final"])])
    found = {name: array for name, array in named.items() if _is_weight(name, array)}
    first = sorted(found, key=lambda name: -found[name][0].size)[:MATRICES]
    if not all(_LAYER.fullmatch(name) for name in found):
        found = {name: found[name] for name in found if name in first}
    total = sum(array.size for array in found.values())
    keep = np.unique(np.linspace(0, len(times) - 1, _saves(len(times), total)).astype(int))
    return times[keep], {name: array[keep] for name, array in found.items()}, stored is not None


def _saves(count: int, total: int) -> int:
    return count if total <= NUMBERS else max(2, count * NUMBERS // total)


def _is_weight(name: str, array: np.ndarray) -> bool:
    """Whether it is a matrix that a network has, no feedback, and finite."""
    other = re.fullmatch(r"[FD]\d+", name) or name.startswith("feedback.")
    return array.ndim == 3 and not other and bool(np.all(np.isfinite(array)))


def _product(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """W_L ... W_1 of a chain of layers; None of other networks, or of one layer."""
    chain = [arrays[name] for name in sorted(arrays, key=_number) if _LAYER.fullmatch(name)]
    if len(chain) < 2 or len(chain) < len(arrays):
        return None
    if any(upper.shape[2] != lower.shape[1] for lower, upper in pairwise(chain)):
        return None
    product = chain[0]
    for matrix in chain[1:]:
        product = matrix @ product
    return product


def _number(name: str) -> int:
    return int(found[1]) if (found := _LAYER.fullmatch(name)) else 0


def _curves(case: str, layer: str, times: np.ndarray, stack: np.ndarray) -> Iterator[PageCurve]:
    values = np.linalg.svd(stack, compute_uv=False)
    for i in range(min(values.shape[1], LARGEST)):
        yield PageCurve(case, layer, "", "", times, values[:, i], f"σ {i + 1}")
