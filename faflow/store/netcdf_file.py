"""The file of a run's records, written without xarray: that, with all it loads, takes longer than
most flows. xarray reads it (`stored.read_tree`) as if it had written it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import h5netcdf
import numpy as np

from ..measures.variables.groups import Group, Variable

_TEXT = np.dtype("O", metadata={"vlen": str})  # HDF5's texts of any length, as h5py names them


def result_file(groups: Mapping[str, Group]) -> memoryview:
    """The file's content. HDF5 makes it in memory: writing to a disk that is full, it crashes."""
    file = io.BytesIO()
    with h5netcdf.File(file, "w") as root:
        for name, group in groups.items():
            _fill(root.create_group(name), group)
    return file.getbuffer()


def _fill(place: Any, group: Group) -> None:
    coordinates = {
        name: values if isinstance(values, Variable) else Variable((name,), np.asarray(values), {})
        for name, values in group.coordinates.items()
    }
    for name, variable in {**coordinates, **group.variables}.items():
        for dim, size in zip(variable.dims, variable.values.shape, strict=True):
            if dim not in place.dimensions:
                place.dimensions[dim] = size
        values, attrs = _encoded(variable)
        dtype = _TEXT if values.dtype.kind == "O" else values.dtype
        place.create_variable(name, variable.dims, dtype, data=values).attrs.update(attrs)
    place.attrs.update(group.attrs or {})


def _encoded(variable: Variable) -> tuple[np.ndarray, dict[str, str]]:
    """What netCDF lacks as xarray writes it: truth as small numbers, words as objects."""
    values, attrs = variable.values, variable.attrs
    if values.dtype.kind == "b":
        return values.astype(np.int8), {**attrs, "dtype": "bool"}
    return (values.astype(object) if values.dtype.kind == "U" else values), attrs
