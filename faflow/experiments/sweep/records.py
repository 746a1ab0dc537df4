"""A sweep's data set on disk: one netCDF file, or a Zarr folder of compressed pieces."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import sync
from ..lazily import xr
from ..store import RECORDS

ZARR = "result.zarr"


def check_zarr(wanted: bool) -> None:
    """ConfigError if Zarr is asked for and not installed."""
    if wanted and importlib.util.find_spec("zarr") is None:
        what = "is true, but zarr is not installed; pip install 'faflow[zarr]', or remove it"
        raise ConfigError("sweep.zarr", what)


def are_there(folder: Path) -> bool:
    return (folder / RECORDS).is_file() or (folder / ZARR).is_dir()


def write_records(tree: xr.DataTree, folder: Path, zarr: bool) -> None:
    """The data set, whole or absent, on the disk when this returns. OSError if it is full."""
    name = ZARR if zarr else RECORDS
    temporary = folder / f".{name}.tmp"
    if zarr:
        shutil.rmtree(temporary, ignore_errors=True)
        # Format 3 has no settled type for words yet.
        tree.to_zarr(temporary, zarr_format=2, consolidated=False)
        for path in temporary.rglob("*"):
            sync(path)
    else:
        tree.to_netcdf(temporary, engine="h5netcdf")
    sync(temporary)
    temporary.replace(folder / name)


def read_records(folder: Path) -> xr.DataTree:
    """The stored data set, in memory. ConfigError if it is damaged."""
    netcdf = (folder / RECORDS).is_file()
    path = folder / (RECORDS if netcdf else ZARR)
    how: dict[str, Any] = (
        {"engine": "h5netcdf"} if netcdf else {"engine": "zarr", "consolidated": False}
    )
    check_zarr(not netcdf)
    try:
        with xr.open_datatree(path, **how) as tree:
            if "figures" not in tree.children:
                raise ValueError("figures are missing")
            return tree.load()
    except (OSError, ValueError, KeyError) as error:
        what = f"holds no readable {path.name} ({error}); remove it and run the sweep again"
        raise ConfigError(str(folder), what) from error
