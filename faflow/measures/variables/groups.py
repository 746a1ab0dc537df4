"""Groups of variables with named dimensions, the tree that is stored of them, and a law read back.

A sweep keeps the variables and leaves the tree: to make one takes as long as a small flow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .datasets import xr


class Variable(NamedTuple):
    """An array with named axes, and its attributes."""

    dims: tuple[str, ...]
    values: np.ndarray
    attrs: dict[str, str]


class Group(NamedTuple):
    """A dataset to be: variables by their names, coordinates of their dimensions (variables, or
    numbers or words alone), attributes."""

    variables: dict[str, Variable]
    coordinates: dict[str, Any]
    attrs: dict[str, Any] | None = None

    def at(self, name: str) -> Variable:
        """A variable or a coordinate."""
        found = self.variables.get(name, self.coordinates.get(name))
        return found if isinstance(found, Variable) else Variable((name,), np.asarray(found), {})


def as_tree(groups: Mapping[str, Group]) -> xr.DataTree:
    return xr.DataTree.from_dict({f"/{name}": _dataset(group) for name, group in groups.items()})


def _dataset(group: Group) -> xr.Dataset:
    variables = {name: _variable(*found) for name, found in group.variables.items()}
    coordinates = {
        name: _variable(*found) if isinstance(found, tuple) else _variable((name,), found)
        for name, found in group.coordinates.items()
    }
    return xr.Dataset(variables, coordinates, group.attrs)


def _variable(dims: tuple[str, ...], values: Any, attrs: Any = None) -> xr.Variable:
    # An array that is taken as it is: asked what else it might be, xarray would import dask.
    array = np.asarray(values)
    return xr.Variable(dims, array, attrs, fastpath=array.ndim > 0)


def as_netcdf(tree: xr.DataTree) -> memoryview:
    """A data set's file, as `netcdf_file.result_file` makes a run's."""
    content = tree.to_netcdf(engine="h5netcdf")
    assert isinstance(content, memoryview)
    return content


def law_record(records: xr.Dataset, name: str) -> Any:
    """A law's values as `analysis` takes them: an array, or a tuple with one array per layer."""
    if name in records:
        return records[name].values
    pattern = re.compile(re.escape(name) + r"_(\d+)")
    found = {int(m[1]): key for key in map(str, records) if (m := pattern.fullmatch(key))}
    return tuple(records[found[layer]].values for layer in sorted(found))
