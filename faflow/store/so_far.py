"""The records of a flow that is under way: one file beside its checkpoints, always whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError
from ..measures.variables.datasets import xr
from ..measures.variables.groups import Group
from ..netcdf import READING
from .exchange import checkpoint_of
from .files import replace_bytes
from .netcdf_file import result_file
from .result import Result

SO_FAR = "records.nc"
RUNNING = "running"  # the status of a flow that is under way
_ABOUT = "summary"  # an attribute


def so_far_of(folder: Path) -> Path:
    """Where the records so far lie of a run whose result goes to `folder`."""
    return checkpoint_of(folder) / SO_FAR


def write_so_far(path: Path, records: Group, about: Mapping[str, Any]) -> None:
    """The records so far in place of those before, with a summary of what is known. OSError if the
    disk is full."""
    attrs = {**(records.attrs or {}), _ABOUT: json.dumps({"status": RUNNING, **about})}
    replace_bytes(path, result_file({"records": records._replace(attrs=attrs)}))


def read_so_far(folder: Path) -> Result:
    """The records so far, of a run whose result goes to `folder`, as those of a result. ConfigError
    if there are none."""
    path = so_far_of(folder)
    try:
        with xr.open_datatree(path, **READING) as tree:
            loaded = tree.load()
        summary = json.loads(loaded["records"].attrs[_ABOUT])
    except Exception as error:  # h5netcdf, HDF5 and xarray each have their own
        what = f"can't be read ({type(error).__name__}); wait for the next checkpoint"
        raise ConfigError(str(path), what) from error
    return Result(summary, lambda: loaded, None, fresh=False)
