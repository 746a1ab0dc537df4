"""A stored sweep as tables and figures read it: its members by the parameters that they share.

Axes whose key ends in "seed" are no parameters: over them there are medians and quantiles.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._results import ORDERLY
from ..measures.variables.datasets import xr

SEED = "seed"
BAND = (0.1, 0.9)  # the quantiles that tables and figures give
_WIDTHS = re.compile(r"\d+(-\d+)+")

Combination = tuple[int, ...]


class Parameter(NamedTuple):
    """An axis that is no seed: its dimension, its key, how its values are called; `numbers` that
    order them, None for words; `short`: the key as legends say it."""

    dim: str
    key: str
    labels: tuple[str, ...]
    numbers: np.ndarray | None
    short: str = ""

    @property
    def size(self) -> int:
        return len(self.labels)

    @property
    def widths(self) -> bool:
        """Whether the numbers are the one width that varies."""
        return self.numbers is not None and _WIDTHS.fullmatch(self.labels[0]) is not None


class Spread(NamedTuple):
    """The distribution over members; nan where there is none. `known`: finite values."""

    known: np.ndarray
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    least: np.ndarray
    largest: np.ndarray


def spread_of(values: np.ndarray, axis: int) -> Spread:
    """Median, the quantiles of BAND and the extremes of the finite values along an axis."""
    kept = np.where(np.isfinite(values), values, np.nan)
    known = np.sum(np.isfinite(values), axis=axis)
    empty = np.expand_dims(known == 0, axis)
    quantiles = np.nanquantile(np.where(empty, 0.0, kept), [0.5, *BAND, 0.0, 1.0], axis=axis)
    return Spread(known, *(np.where(known == 0, np.nan, each) for each in quantiles))


class Members:
    """The data set of a sweep with its axes in order: parameters, then all seeds as one."""

    def __init__(self, tree: xr.DataTree):
        self._figures = tree["figures"].to_dataset()
        self._records = tree["records"].to_dataset() if "records" in tree.children else None
        axes = [str(dim) for dim in self._figures["status"].dims]
        self._seeds = [dim for dim in axes if _is_seed(self._figures, dim)]
        self.parameters = _with_short_names(
            [_parameter(self._figures, dim) for dim in axes if dim not in self._seeds]
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of every parameter."""
        return tuple(parameter.size for parameter in self.parameters)

    @property
    def seeded(self) -> bool:
        """Whether there is an axis of seeds to have bands over."""
        return bool(self._seeds)

    @cached_property
    def seed_labels(self) -> tuple[str, ...]:
        """How the members of a combination are told apart: their seeds, in order."""
        names = [str(dim) for dim in self._seeds]
        values = [
            self._figures[dim].values if dim in self._figures.coords
            else range(self._figures.sizes[dim]) for dim in self._seeds
        ]  # fmt: skip
        if len(names) == 1:
            return _texts(values[0])
        rows = itertools.product(*map(_texts, values))
        return tuple(
            ", ".join(f"{name} {text}" for name, text in zip(names, row, strict=True))
            for row in rows
        )

    @cached_property
    def statuses(self) -> np.ndarray:
        """(parameters..., seeds), words."""
        return self._in_order(self._figures["status"]).astype(str)

    @cached_property
    def orderly(self) -> np.ndarray:
        """(parameters..., seeds): who ran as far as was asked."""
        return np.isin(self.statuses, list(ORDERLY))

    @cached_property
    def laws(self) -> list[str]:
        """Recorded laws whose drift is a measurement (those projected onto can't drift)."""
        found = [re.fullmatch(r"laws\.(.+)\.kept", str(name)) for name in self._figures]
        names = [match[1] for match in found if match]
        return [name for name in names if not self._projected(name)]

    @cached_property
    def times(self) -> np.ndarray | None:
        """(parameters..., seeds, saves): every member has saves of its own if it stopped early."""
        for name in ("times", "time"):
            if self._records is not None and name in self._records.variables:
                variable = self._records[name].variable
                if self._figures["status"].dims[0] in variable.dims:
                    return self._in_order(self._records[name])
        return None

    def figure_names(self) -> list[str]:
        return [str(name) for name in self._figures.data_vars]

    def has(self, name: str) -> bool:
        """Whether any member's summary has a figure, known or not."""
        return name in self._figures

    def words(self, name: str) -> np.ndarray | None:
        """A figure in words, as `figure`."""
        return self._in_order(self._figures[name]).astype(str) if name in self._figures else None

    def figure(self, name: str) -> np.ndarray | None:
        """(parameters..., seeds) and, for figures per layer, layers; None if no member has it."""
        return self._finite(self._figures, name)

    def record(self, name: str) -> np.ndarray | None:
        """(parameters..., seeds, saves, ...); None if no member has it."""
        return None if self._records is None else self._finite(self._records, name)

    def record_names(self) -> list[str]:
        return [] if self._records is None else [str(name) for name in self._records.data_vars]

    def columns(self, name: str) -> tuple[str, ...]:
        """The dimensions of a record after its saves."""
        if self._records is None:
            return ()
        return tuple(map(str, self._records[name].dims[len(self._figures["status"].dims) + 1 :]))

    def entries(self, name: str) -> tuple[str, ...]:
        """What the columns of a record with one axis after its saves are called."""
        (axis,) = self.columns(name)
        assert self._records is not None
        if axis in self._records.coords:
            return tuple(str(entry) for entry in self._records.coords[axis].values)
        return tuple(str(i + 1) for i in range(self._records.sizes[axis]))

    def drift(self, law: str) -> np.ndarray | None:
        """(parameters..., seeds): the largest relative drift of a law, over its layers."""
        values = self.figure(f"laws.{law}.relative_drift")
        if values is None or values.ndim == self.statuses.ndim:
            return values
        return spread_of(values, -1).largest

    def combinations(self) -> Iterator[Combination]:
        """Places on the parameters' axes, the last one fastest."""
        return itertools.product(*map(range, self.shape))

    def _projected(self, law: str) -> bool:
        """Whether all that have it were projected onto it."""
        told = self.figure(f"laws.{law}.projected")
        return told is not None and bool(np.any(told == 1)) and self.drift(law) is None

    def _finite(self, dataset: xr.Dataset, name: str) -> np.ndarray | None:
        if name not in dataset or dataset[name].dtype.kind not in "fiub":
            return None
        if self._figures["status"].dims[0] not in dataset[name].dims:
            return None
        values = self._in_order(dataset[name])
        return values if np.any(np.isfinite(values)) else None

    def _in_order(self, array: xr.DataArray) -> np.ndarray:
        first = [parameter.dim for parameter in self.parameters]
        values: Any = array.transpose(*first, *self._seeds, ...).values
        kept = len(first) + len(self._seeds)
        return values.reshape(*self.shape, -1, *values.shape[kept:])


def _is_seed(figures: xr.Dataset, dim: str) -> bool:
    keys = _keys(figures, dim)
    return all(key.rsplit(".", 1)[-1] == SEED for key in keys)


def _keys(figures: xr.Dataset, dim: str) -> list[str]:
    """What goes along an axis: its own key, or all of [sweep.zip]."""
    return [str(name) for name in figures.coords if figures[name].dims == (dim,)] or [dim]


def _parameter(figures: xr.Dataset, dim: str) -> Parameter:
    """An axis, named by its first key with numbers; of words alone, by the key whose name it has,
    or by all of its keys."""
    keys, size = _keys(figures, dim), figures.sizes[dim]
    columns = {key: figures[key].values if key in figures.coords else range(size) for key in keys}
    for key, values in columns.items():
        numbers = _numbers(list(values))
        if numbers is not None:
            return Parameter(dim, key, _texts(values), numbers)
    if dim in figures.coords:
        return Parameter(dim, dim, _texts(columns[dim]), None)
    rows = zip(*map(_texts, columns.values()), strict=True)
    labels = tuple(map(", ".join, rows))
    return Parameter(dim, ", ".join(keys), labels, None)


def _with_short_names(parameters: list[Parameter]) -> tuple[Parameter, ...]:
    """`scale` for feedback.scale, `rule` for rule.kind, unless two would be called the same."""
    parts = [p.key.removesuffix(".kind").rsplit(".", 1)[-1] for p in parameters]
    return tuple(
        p._replace(short=short if parts.count(short) == 1 else p.key)
        for p, short in zip(parameters, parts, strict=True)
    )


def _numbers(values: list[Any]) -> np.ndarray | None:
    """Values as numbers: they are some, or widths of which one (or several alike) varies."""
    if all(np.asarray(value).dtype.kind in "iuf" for value in values):
        return np.asarray(values, np.float64)
    if not all(_WIDTHS.fullmatch(str(value)) for value in values):
        return None
    shapes = [[int(part) for part in str(value).split("-")] for value in values]
    if len({len(shape) for shape in shapes}) > 1:
        return None
    layers = [layer for layer in zip(*shapes, strict=True) if len(set(layer)) > 1]
    return np.asarray(layers[0], np.float64) if len(set(layers)) == 1 else None


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    """Values as text: numbers in four digits, or in as many as tell them apart."""
    values = list(values)
    for digits in (4, 6, 9, 12, 17):
        texts = tuple(_text(value, digits) for value in values)
        if len(set(texts)) == len(set(values)):
            break
    return texts


def _text(value: Any, digits: int) -> str:
    whole = isinstance(value, str | int | np.integer)
    return str(value) if whole else f"{value:.{digits}g}"
