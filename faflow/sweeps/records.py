"""A sweep's data set on disk: one netCDF file, or a Zarr folder of compressed pieces."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError
from ..measures.variables.datasets import xr
from ..measures.variables.groups import as_netcdf
from ..netcdf import READING
from ..store.files import (
    hidden,
    remove_temporaries,
    replace_bytes,
    replace_text,
    sync,
    temporary_folder,
)
from ..store.result import RECORDS

ZARR = "result.zarr"
_DIGEST = f"{ZARR}.sha256"  # of all pieces: a lost one would be read as nan


def check_zarr(wanted: bool) -> None:
    """ConfigError if Zarr is asked for and not installed."""
    if wanted and importlib.util.find_spec("zarr") is None:
        what = "is true, but zarr is not installed; pip install 'faflow[zarr]', or remove it"
        raise ConfigError("sweep.zarr", what)


def are_there(folder: Path) -> bool:
    return (folder / RECORDS).is_file() or (folder / ZARR).is_dir()


def write_records(tree: xr.DataTree, folder: Path, zarr: bool) -> None:
    """The data set, whole or absent, on the disk when this returns. OSError if it is full."""
    if not zarr:
        replace_bytes(folder / RECORDS, as_netcdf(tree))
        return
    remove_temporaries(folder, ZARR)
    with temporary_folder(hidden(folder / ZARR)) as temporary:
        # Format 3 has no settled type for words yet.
        tree.to_zarr(temporary, zarr_format=2, consolidated=False)
        replace_text(folder / _DIGEST, _digest(temporary))
        for path in temporary.rglob("*"):
            sync(path)
        shutil.rmtree(folder / ZARR, ignore_errors=True)  # of a run that was killed just then
        sync(temporary)
        temporary.replace(folder / ZARR)


def read_records(folder: Path) -> xr.DataTree:
    """The stored data set, in memory. ConfigError if it is damaged."""
    netcdf = (folder / RECORDS).is_file()
    path = folder / (RECORDS if netcdf else ZARR)
    how: dict[str, Any] = READING if netcdf else {"engine": "zarr", "consolidated": False}
    check_zarr(not netcdf)
    try:
        if not netcdf and (folder / _DIGEST).read_text() != _digest(path):
            raise ValueError("its pieces are not those that were written")
        with xr.open_datatree(path, **how) as tree:
            if "figures" not in tree.children:
                raise ValueError("figures are missing")
            return tree.load()
    except Exception as error:  # h5netcdf, HDF5, zarr and xarray each have their own
        what = f"holds no readable {path.name} ({error}); remove it and run the sweep again"
        raise ConfigError(str(folder), what) from error


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()
