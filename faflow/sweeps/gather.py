"""All members of a sweep as one labelled data set.

Groups: `figures` (the numbers of every member's summary, by their names there; status), `records`
(over time) and what else members had. Dimensions: the sweep's axes, then time, layers and others.

Nothing is placed by trust. A member stands where its own config says, or this is an error. Along
dimensions whose entries have names (layers, step sizes) its values go by these names; along others
(neurons of nets of different widths) shorter ones are filled up with nan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..config.errors import ConfigError, shown
from ..ensembles import Grid
from ..measures.variables.datasets import xr
from .axes import labels, same_values
from .chunks import Chunk
from .figures import LAYERS, figures, variable_name
from .plan import SweepPlan

FIGURES = "figures"
Coordinates = dict[str, Any]


def gather(plan: SweepPlan, chunks: Iterable[Chunk], attrs: Mapping[str, str]) -> xr.DataTree:
    """The data set of the members that there are; the others are nan, their status "pending".
    ConfigError if a member's own values are not those of its place."""
    chunks = sorted(chunks, key=lambda chunk: chunk.members[:1])
    for chunk in chunks:
        check_places(plan.grid, chunk)
    shape, axes = plan.grid.shape, tuple(axis.name for axis in plan.grid.axes)
    summaries = {
        member: summary
        for chunk in chunks
        for member, summary in zip(chunk.members, chunk.summaries, strict=True)
    }
    own = _axis_coordinates(plan.grid)
    here = figures(summaries, shape, axes)
    layers = max((variable.sizes.get(LAYERS, 0) for variable in here.values()), default=0)
    named = own | ({LAYERS: (LAYERS, np.arange(1, layers + 1))} if layers else {})
    found = {f"/{FIGURES}": xr.Dataset(here, named)}
    for group, pieces in _by_group(chunks).items():
        variables, coordinates = _together(pieces, group, plan.grid)
        time = _common_time(variables)
        found[f"/{group}"] = xr.Dataset(variables, own | coordinates | time)
    tree = xr.DataTree.from_dict(found)
    tree.attrs = dict(attrs)
    return tree


def check_places(grid: Grid, chunk: Chunk) -> None:
    """ConfigError if a member's own values are not those of its place in the grid."""
    for member, told in zip(chunk.members, chunk.places, strict=True):
        wanted = grid.values(member)
        for key in wanted.keys() | told.keys():
            if not same_values(told.get(key), wanted.get(key)):
                what = f"is {shown(told.get(key))} of member {member}, whose place is that of "
                what += f"{shown(wanted.get(key))}; run the sweep again with --replace"
                raise ConfigError(key, what)


def _axis_coordinates(grid: Grid) -> Coordinates:
    return {
        key: (axis.name, labels(values))
        for axis in grid.axes
        for key, values in axis.columns.items()
    }


class _Piece(NamedTuple):
    """A variable as some members of one chunk have it; `names`: of its axes' entries (None: they
    have none), after that of members."""

    members: list[int]
    dims: tuple[str, ...]
    values: np.ndarray
    names: tuple[list[Any] | None, ...]
    attrs: dict[str, str]


def _by_group(chunks: Sequence[Chunk]) -> dict[str, dict[str, list[_Piece]]]:
    """All pieces by group and variable."""
    found: dict[str, dict[str, list[_Piece]]] = {}
    for chunk in chunks:
        for path, (dims, values, attrs) in chunk.variables.items():
            group, _, name = path.partition("/")
            names = tuple(chunk.coordinates.get(f"{group}/{dim}") for dim in dims[1:])
            piece = _Piece(chunk.members, dims[1:], values, names, attrs)
            found.setdefault(group, {}).setdefault(variable_name(name), []).append(piece)
    return found


def _together(
    pieces: Mapping[str, list[_Piece]], group: str, grid: Grid
) -> tuple[dict[str, xr.Variable], Coordinates]:
    """The group's variables over all members, and the names along their dimensions."""
    taken = {axis.name for axis in grid.axes} | set(grid.names())
    whole = {
        name: [piece._replace(dims=_apart(piece.dims, taken, group)) for piece in alike]
        for name, alike in _one_dims(pieces)
    }
    lengths: dict[str, int] = {}
    names: dict[str, list[list[Any] | None]] = {}
    for piece in (piece for alike in whole.values() for piece in alike):
        for dim, size, own in zip(piece.dims, piece.values.shape[1:], piece.names, strict=True):
            lengths[dim] = max(lengths.get(dim, 0), size)
            names.setdefault(dim, []).append(own)
    merged = {dim: all_names for dim, told in names.items() if (all_names := _merged(told))}
    lengths |= {dim: len(all_names) for dim, all_names in merged.items()}
    axes = tuple(axis.name for axis in grid.axes)
    found = {}
    for name, alike in whole.items():
        dims, attrs = alike[0].dims, alike[0].attrs
        values = _filled(alike, grid.size, lengths, merged)
        found[name] = xr.Variable((*axes, *dims), values.reshape(*grid.shape, *values.shape[1:]),
                                  attrs)  # fmt: skip
    for dim, told in names.items():
        if dim not in merged and any(told):  # every member has its own, as it has its own times
            found[f"{dim}s"] = _own_names(dim, whole, grid, lengths[dim])
    return found, {dim: (dim, all_names) for dim, all_names in merged.items()}


def _one_dims(pieces: Mapping[str, list[_Piece]]) -> Iterator[tuple[str, list[_Piece]]]:
    """Variables whose pieces have the same axes: `hidden_layer` of one member is
    `hidden_layer_of_<law>` of another, where the law speaks of some layers only. Pieces with
    another number of axes are a variable of their own."""
    for name, alike in pieces.items():
        least = min(len(piece.dims) for piece in alike)
        for count in sorted({len(piece.dims) for piece in alike}):
            same = [piece for piece in alike if len(piece.dims) == count]
            told = zip(*(piece.dims for piece in same), strict=True)
            dims = tuple(_common(set(each), f"{name}_axis_{i}") for i, each in enumerate(told))
            own = name if count == least else f"{name}_{count}d"
            yield own, [piece._replace(dims=dims) for piece in same]


def _common(dims: set[str], otherwise: str) -> str:
    if len(dims) == 1:
        return min(dims)
    bare = {dim.split("_of_")[0] for dim in dims}
    return min(bare) if len(bare) == 1 else otherwise


def _apart(dims: Sequence[str], taken: set[str], group: str) -> tuple[str, ...]:
    """No dimension is called as an axis of the sweep."""
    return tuple(f"{dim}_of_{group}" if dim in taken else dim for dim in dims)


def _merged(told: Sequence[list[Any] | None]) -> list[Any] | None:
    """The names along a dimension of all pieces; None if there are none or they can't be merged:
    measured numbers, which hardly any two members share."""
    known = [names for names in told if names is not None]
    if len(known) < len(told):
        return None
    if all(names == known[0] for names in known):
        return known[0]
    every = [name for names in known for name in names]
    countable = all(isinstance(name, str) for name in every) or all(type(n) is int for n in every)
    if not countable or any(len(set(names)) < len(names) for names in known):
        return None
    return sorted(set(every))


def _filled(
    alike: Sequence[_Piece], members: int, lengths: Mapping[str, int], merged: Mapping[str, Any]
) -> np.ndarray:
    """(members, ...): every piece where its members and the names of its entries say."""
    dims = alike[0].dims
    words = any(piece.values.dtype.kind in "US" for piece in alike)
    size = (members, *(lengths[dim] for dim in dims))
    whole = np.full(size, "", dtype=object) if words else np.full(size, np.nan)
    for piece in alike:
        places = [
            range(length)
            if dim not in merged or names == merged[dim]
            else [merged[dim].index(name) for name in names or ()]
            for dim, length, names in zip(dims, piece.values.shape[1:], piece.names, strict=True)
        ]
        whole[np.ix_(piece.members, *places)] = piece.values
    return whole


def _own_names(
    dim: str, whole: Mapping[str, Sequence[_Piece]], grid: Grid, length: int
) -> xr.Variable:
    told = np.full((grid.size, length), "", dtype=object)
    for piece in (piece for alike in whole.values() for piece in alike if dim in piece.dims):
        names = piece.names[piece.dims.index(dim)] or []
        told[np.ix_(piece.members, range(len(names)))] = np.array(names, dtype=object)
    numbers = all(not isinstance(name, str) for name in told.ravel() if name != "")
    values = np.where(told == "", np.nan, told).astype(float) if numbers else told.astype(str)
    dims = (*(axis.name for axis in grid.axes), dim)
    return xr.Variable(dims, values.reshape(*grid.shape, length))


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


def attributes(plan: SweepPlan, provenance: Mapping[str, Any]) -> dict[str, str]:
    """Provenance of the data set: name, config (as JSON) and its hash, versions."""
    found = {
        key: told if isinstance(told, str) else json.dumps(told)
        for key, told in provenance.items()
        if key != "config"
    }
    found |= {"hash": provenance["config"]} if "config" in provenance else {}
    return {"name": plan.name, **found, "config": json.dumps(plan.table)}
