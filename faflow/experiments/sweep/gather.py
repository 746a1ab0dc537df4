"""All members of a sweep as one labelled data set.

Groups: `figures` (the numbers of every member's summary, by their names there; status), `records`
(over time) and what else members had. Dimensions: the sweep's axes, then time, layers and others.
Members of different widths or depths have different lengths of these: shorter ones are filled up
with nan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..lazily import xr
from .axes import label
from .chunks import Chunk
from .plan import Plan

FIGURES = "figures"
PENDING = "pending"  # the status of a member that has not run
_PER_LAYER = ("laws", "alignment")  # sections whose lists run over hidden layers


def gather(plan: Plan, chunks: Iterable[Chunk], attrs: Mapping[str, str]) -> xr.DataTree:
    """The data set of the members that there are; the others are nan, their status "pending"."""
    chunks = list(chunks)
    shape, axes = plan.grid.shape, tuple(axis.name for axis in plan.grid.axes)
    coordinates = _axis_coordinates(plan)
    groups = {FIGURES: _figures(chunks, shape, axes)}
    for name, place in _places(chunks).items():
        group, _, variable = name.partition("/")
        groups.setdefault(group, {})[variable] = _filled(place, chunks, name, shape, axes)
    lengths = {
        dim: size for group in groups.values() for variable in group.values()
        for dim, size in variable.sizes.items()
    }  # fmt: skip
    for chunk in chunks:
        for dim, values in chunk.coordinates.items():
            if len(values) == lengths.get(dim):
                coordinates.setdefault(dim, (dim, values))
    found = {}
    for group, variables in groups.items():
        time = _common_time(variables)
        used = {dim for variable in variables.values() for dim in variable.dims}
        here = {
            key: value for key, value in coordinates.items()
            if (value[0] if isinstance(value, tuple) else key) in used
        }  # fmt: skip
        found[f"/{group}"] = xr.Dataset(variables, {**here, **time})
    tree = xr.DataTree.from_dict(found)
    tree.attrs = dict(attrs)
    return tree


def _axis_coordinates(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for axis in plan.grid.axes:
        for key, values in axis.columns.items():
            labels = [label(value) for value in values]
            if len({isinstance(item, str) for item in labels}) > 1:
                labels = [str(item) for item in labels]
            found[key] = (axis.name, labels)
    return found


def _common_time(variables: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    """`time` as a coordinate where all members have the same saves, and every member's own in
    `times`: one that ended early has its end in the slot it was heading for."""
    if "time" not in variables:
        return {}
    times = variables["times"] = variables.pop("time")
    rows = times.values.reshape(-1, times.sizes["time"])
    whole = rows[np.all(np.isfinite(rows), axis=1)]
    if not len(whole) or not np.all(whole == whole[0]):
        return {}
    return {"time": xr.Variable(("time",), whole[0], times.attrs)}


def _places(chunks: list[Chunk]) -> dict[str, tuple[tuple[str, ...], tuple[int, ...], Any]]:
    """Per variable its axes, their largest lengths, and one array of its kind."""
    found: dict[str, tuple[tuple[str, ...], tuple[int, ...], Any]] = {}
    for chunk in chunks:
        for name, (dims, values, _) in chunk.variables.items():
            size = values.shape[1:]
            if name in found:
                size = tuple(max(a, b) for a, b in zip(found[name][1], size, strict=True))
            found[name] = (dims[1:], size, values)
    return found


def _filled(place, chunks: list[Chunk], name: str, shape, axes) -> xr.Variable:
    dims, size, example = place
    if example.dtype.kind in "US":
        whole = np.full((int(np.prod(shape)), *size), "", dtype=object)
    else:
        whole = np.full((int(np.prod(shape)), *size), np.nan)
    attrs: dict[str, str] = {}
    for chunk in chunks:
        if name in chunk.variables:
            _, values, attrs = chunk.variables[name]
            part = (chunk.members, *(slice(0, n) for n in values.shape[1:]))
            whole[part] = values
    return xr.Variable((*axes, *dims), whole.reshape(*shape, *size), attrs)


def _figures(chunks: list[Chunk], shape, axes) -> dict[str, xr.Variable]:
    rows = {
        member: flat_figures(summary)
        for chunk in chunks
        for member, summary in zip(chunk.members, chunk.summaries, strict=True)
    }
    names = dict.fromkeys(name for row in rows.values() for name in row)
    count = int(np.prod(shape))
    found = {}
    for name in dict.fromkeys(("status", *names)):
        values = {member: row[name] for member, row in rows.items() if name in row}
        first = next(iter(values.values()), "")
        if any(isinstance(value, str) for value in values.values()) or name == "status":
            blank = PENDING if name == "status" else ""
            column = np.array([str(values.get(i, blank)) for i in range(count)], dtype=object)
            found[name] = xr.Variable(axes, column.reshape(shape))
        elif isinstance(first, list):
            length = max(len(value) for value in values.values())
            whole = np.full((count, length), np.nan)
            for member, value in values.items():
                whole[member, : len(value)] = value
            dims = (*axes, "hidden_layer")
            found[name] = xr.Variable(dims, whole.reshape(*shape, length))
        else:
            column = np.array([values.get(i, np.nan) for i in range(count)], np.float64)
            found[name] = xr.Variable(axes, column.reshape(shape))
    return _same_layers(found)


def _same_layers(found: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    most = max((v.sizes.get("hidden_layer", 0) for v in found.values()), default=0)
    return {
        name: variable.pad({"hidden_layer": (0, most - variable.sizes["hidden_layer"])})
        if "hidden_layer" in variable.dims else variable
        for name, variable in found.items()
    }  # fmt: skip


def flat_figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary's numbers and words by dotted names. Lists of laws and alignments are per hidden
    layer, first layer first; of other lists every number has a name of its own."""
    found: dict[str, Any] = {}
    for section, value in summary.items():
        layers = section in _PER_LAYER
        for name, leaf in _leaves(value, section):
            if layers and isinstance(leaf, list) and all(map(_is_number, leaf)):
                if not name.endswith(".layers"):
                    at = _layers_of(summary, name, len(leaf))
                    row = [np.nan] * max(at, default=0)
                    for layer, number in zip(at, leaf, strict=True):
                        row[layer - 1] = _number(number)
                    found[name] = row
            elif isinstance(leaf, list):
                found |= {f"{name}.{i}": _number(x) for i, x in enumerate(leaf) if _is_number(x)}
            else:
                found[name] = leaf if isinstance(leaf, str) else _number(leaf)
    return found


def _layers_of(summary: Mapping[str, Any], name: str, count: int) -> list[int]:
    section, law = name.split(".")[:2]
    listed = summary[section][law].get("layers") if section == "laws" else None
    return listed if listed is not None and len(listed) == count else list(range(1, count + 1))


def _leaves(value: Any, path: str):
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    else:
        yield path, value


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def attributes(plan: Plan, provenance: Mapping[str, str]) -> dict[str, str]:
    """Provenance of the data set: name, config, versions."""
    return {"name": plan.name, "config": json.dumps(plan.table), **provenance}
