"""The numbers and words of all members' summaries, a variable for each by its name there.

A figure may be a number in one member, a word or a list in another, and missing in a third:
whatever members come to, there is a variable that holds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..measures.variables.datasets import xr

STATUS, PENDING = "status", "pending"  # the status of a member that has not run
LAYERS = "hidden_layer"
_PER_LAYER = ("laws", "alignment")  # sections whose lists run over hidden layers


def figures(
    summaries: Mapping[int, Mapping[str, Any]], shape: Sequence[int], axes: Sequence[str]
) -> dict[str, xr.Variable]:
    """The variables of members by number; a member without a figure has nan there, or ""."""
    rows = {number: flat_figures(summaries[number]) for number in sorted(summaries)}
    names = dict.fromkeys((STATUS, *(name for row in rows.values() for name in row)))
    count, found = int(np.prod(shape)), {}
    columns = {name: [rows.get(i, {}).get(name) for i in range(count)] for name in names}
    columns[STATUS] = [PENDING if told is None else told for told in columns[STATUS]]
    most = max((len(v) for c in columns.values() for v in c if isinstance(v, list)), default=0)
    for name, column in columns.items():
        values = _array(column, most)
        dims = (*axes, LAYERS) if values.ndim > 1 else tuple(axes)
        found[name] = xr.Variable(dims, values.reshape(*shape, *values.shape[1:]))
    return found


def flat_figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary's figures by dotted names. Lists of laws and alignments are per hidden layer, first
    layer first; of other lists every entry has a name of its own."""
    found: dict[str, Any] = {}
    for section, value in summary.items():
        parts = value.items() if isinstance(value, Mapping) else ()
        if section not in _PER_LAYER or not parts:
            found |= _flat(value, section)
            continue
        for name, part in parts:
            here = f"{section}.{variable_name(name)}"
            layers = part.get("layers") if isinstance(part, Mapping) else None
            for key, leaf in _leaves(part, here):
                if not (isinstance(leaf, list) and all(map(_is_number, leaf))):
                    found |= _flat(leaf, key)
                elif key != f"{here}.layers":
                    found[key] = _by_layer(leaf, layers)
    return found


def variable_name(name: str) -> str:
    """A name as a data set may bear it: netCDF takes / for a path."""
    return name.replace("/", "|")


def _flat(value: Any, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, leaf in _leaves(value, path):
        if isinstance(leaf, list):
            for i, item in enumerate(leaf):
                found |= _flat(item, f"{key}.{i}")
        else:
            found[key] = leaf
    return found


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{variable_name(key)}")
    else:
        yield path, value


def _by_layer(values: list[Any], layers: Any) -> list[Any]:
    at = layers if isinstance(layers, list) and len(layers) == len(values) else None
    places = at or range(1, len(values) + 1)
    row: list[Any] = [None] * max(places, default=0)
    for layer, value in zip(places, values, strict=True):
        row[layer - 1] = value
    return row


def _array(column: list[Any], layers: int) -> np.ndarray:
    """(members,) of numbers; with an axis of layers if there are lists; of words if there are any,
    or lists beside numbers, which no row of numbers can hold without a mistake."""
    known = [value for value in column if value is not None]
    lists = [value for value in known if isinstance(value, list)]
    if any(isinstance(value, str) for value in known) or 0 < len(lists) < len(known):
        return np.array([_word(value) for value in column], dtype=object)
    if not lists:
        return np.array([_number(value) for value in column], np.float64)
    whole = np.full((len(column), layers), np.nan)
    for row, value in zip(whole, column, strict=True):
        row[: len(value or ())] = [_number(item) for item in value or ()]
    return whole


def _word(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)
