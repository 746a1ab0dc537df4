"""A result on disk, read back: without JAX, which made it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .._results import Outcome
from ..config.errors import ConfigError
from ..measures import tables
from ..measures.json_numbers import SCHEMA
from ..measures.variables.datasets import xr
from ..netcdf import READING
from .exchange import RESULT, settle

CONFIG, RECORDS, SUMMARY = RESULT


class Result(NamedTuple):
    """A run's summary and records; `folder` is None if it was not stored.

    `fresh`: computed now rather than found. `exit_code`: 0, 1 (a bound of [expect] is broken) or
    3 (the flow ended early).
    """

    summary: dict[str, Any]
    tree: Callable[[], xr.DataTree]  # once made, it is kept
    folder: Path | None
    fresh: bool

    @property
    def records(self) -> xr.DataTree:
        """What was recorded: groups `records`, `start`, `final` and others (result.nc)."""
        return self.tree()

    @property
    def exit_code(self) -> int:
        return exit_code(self.summary)


def exit_code(summary: Mapping[str, Any]) -> int:
    """The command line's verdict on a summary."""
    early = {str(outcome) for outcome in Outcome if outcome.early}
    if summary["status"] in early:
        return 3
    return 0 if all(verdict["ok"] for verdict in summary.get("expect", {}).values()) else 1


def open_result(folder: str | Path) -> Result:
    """A stored result. ConfigError if the folder holds none, or a damaged one."""
    folder = Path(os.path.expanduser(folder))
    if "\0" in str(folder):
        raise ConfigError("RESULT", "has a NUL character in its path; take it out")
    complete(folder)
    summary, tree = read_summary(folder), read_tree(folder)
    result = Result(summary, lambda: tree, folder, fresh=False)
    try:
        tables.drift_rows(result)
        exit_code(result.summary)
    except Exception as error:  # whatever is left of it
        what = f"holds a damaged result ({type(error).__name__}: {error}); run it again"
        raise ConfigError(str(folder), what) from error
    return result


def complete(folder: Path) -> None:
    """Put in place what a run had written whole when it was killed."""
    with contextlib.suppress(OSError):  # a reader need not be able to write
        settle(folder)


def read_summary(folder: Path) -> dict[str, Any]:
    """The stored summary. ConfigError if `folder` holds no result."""
    try:
        summary = json.loads((folder / SUMMARY).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ConfigError(str(folder), "holds no faflow result; give a result folder") from None
    if not isinstance(summary, dict) or summary.get("schema") != SCHEMA:
        raise ConfigError(str(folder), f"holds no summary of schema {SCHEMA}; run it again")
    return summary


def read_tree(folder: Path) -> xr.DataTree:
    """The stored records, loaded into memory. ConfigError if there are none."""
    try:
        with xr.open_datatree(folder / RECORDS, **READING) as tree:
            loaded = tree.load()
            if not {"records", "start", "final"} <= set(loaded.children):
                raise ValueError("lacks a group")
            return loaded
    except Exception:  # h5netcdf, HDF5 and xarray each have their own
        raise ConfigError(str(folder), f"holds no readable {RECORDS}; run it again") from None
