"""A result on disk, read back: without JAX, which made it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._results import ORDERLY
from ..config.errors import ConfigError
from ..measures import tables
from ..measures.json_numbers import SCHEMA
from ..measures.variables.datasets import xr
from ..measures.variables.groups import Group, Variable
from ..netcdf import READING
from .exchange import RESULT, finish_exchange

CONFIG, RECORDS, SUMMARY = RESULT
MOST_AXES = 2  # of a record that is columns of a table: the time, and one more
MOST = 8  # results in a folder that an error names


class Views(NamedTuple):
    """How a result is shown, by rooms above this one: as text, as a figure, as a page."""

    text: Callable[[Any], str]
    plot: Callable[[Any], Any]
    report: Callable[[Any, str | os.PathLike[str]], Path]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a run or a sweep came to; `folder` is None if it was not stored.

    `fresh`: computed now (a sweep at least in part) rather than found. Of a run, what goes over
    time is also at hand as figures and pages need it, at the saves that were reached: after an
    early end all floating-point records are nan.
    """

    summary: dict[str, Any]
    tree: Callable[[], xr.DataTree]  # once made, it is kept
    folder: Path | None
    fresh: bool
    groups: Mapping[str, Group] | None = None  # what `tree` is made of, of a run that was computed
    views: Views | None = None  # of a result that `faflow.open` gave

    @property
    def records(self) -> xr.DataTree:
        """What was recorded (result.nc): groups `records`, `start`, `final` and others of a run,
        `figures`, `records` and others of a sweep."""
        return self.tree()

    def to_xarray(self) -> xr.DataTree:
        """Everything recorded: `records`."""
        return self.records

    def to_pandas(self) -> Any:
        """Of a run a DataFrame over time with a column per number: `loss`, `alignment_cosine 1`,
        ...; records with more than one axis besides the time are left to `to_xarray`. Of a sweep
        one over its axes, with a column per figure that is one number or word of a member."""
        if self.swept:
            figures = self.records["figures"].to_dataset()
            dims = figures["status"].dims
            return figures[[n for n in figures.data_vars if figures[n].dims == dims]].to_dataframe()
        import pandas as pd

        columns: dict[str, Any] = {}
        for name in self.names():
            values = self.values(name)
            if values is None or values.ndim > MOST_AXES:
                continue
            entries = [""] if values.ndim == 1 else [f" {e}" for e in self.entries(name)]
            table = values.reshape(len(values), -1).T
            columns |= {f"{name}{e}": column for e, column in zip(entries, table, strict=True)}
        return pd.DataFrame(columns, index=pd.Index(self.times, name="time"))

    def plot(self) -> Any:
        """The overview of a run as a matplotlib figure. ConfigError for a sweep."""
        return self._shown().plot(self)

    def report(self, out: str | os.PathLike[str] = "report.html") -> Path:
        """One HTML page, as `faflow report` writes it; needs `faflow[report]`."""
        return self._shown().report(self, out)

    def _shown(self) -> Views:
        if self.views is None:
            raise ConfigError("Result", "is as it was computed; faflow.open(its folder) draws it")
        return self.views

    def __repr__(self) -> str:
        if self.views is not None:
            return self.views.text(self)
        return f"<faflow.Result {self.summary.get('name', '')} -> {self.folder}>"

    @property
    def swept(self) -> bool:
        return self.summary.get("kind") == "sweep"

    @property
    def exit_code(self) -> int:
        """0; 1 if a bound of [expect] is broken; 3 if a flow ended early or has not run."""
        statuses = self.summary["statuses"] if self.swept else [self.summary["status"]]
        if not ORDERLY.issuperset(statuses):
            return 3
        return 0 if all(verdict["ok"] for verdict in self.summary.get("expect", {}).values()) else 1

    @property
    def name(self) -> str:
        return str(self.summary["name"])

    @property
    def status(self) -> str:
        return str(self.summary["status"])

    @property
    def times(self) -> np.ndarray:
        return self._recorded.at("time").values[self._reached]

    @cached_property
    def series(self) -> xr.Dataset:
        """The records of a run, along `time`."""
        return self.records["records"].to_dataset().isel(time=self._reached)

    @cached_property
    def _recorded(self) -> Group:
        """The records of a run as they are stored. A figure of a run that was just computed needs
        no more, and the import of xarray takes half as long as the drawing."""
        if self.groups is not None:
            return self.groups["records"]
        records = self.records["records"]
        return Group(*({str(name): Variable(tuple(map(str, found.dims)), found.values, found.attrs)
                        for name, found in some.items()}
                       for some in (records.data_vars, records.coords)))  # fmt: skip

    @cached_property
    def _reached(self) -> np.ndarray:
        """Which saves were reached."""
        times = self._recorded.at("time").values
        seen = [
            np.any(np.isfinite(values.reshape(len(times), -1)), axis=1)
            for dims, values, _ in self._recorded.variables.values()
            if dims[:1] == ("time",) and values.dtype.kind == "f" and values.size
        ]
        return np.isfinite(times) & (np.any(seen, axis=0) if seen else True)

    def group(self, name: str) -> xr.Dataset | None:
        """Another group of a run, along the saves of `series` (`events` of an exact flow's kinks,
        `discrete`, `simulation`, ...); None if there is none."""
        if name not in (self.records.children if self.groups is None else self.groups):
            return None
        return self.records[name].to_dataset().isel(time=slice(0, int(np.sum(self._reached))))

    def section(self, name: str) -> dict[str, Any]:
        """A section of the summary, empty if it is absent."""
        return self.summary.get(name) or {}

    def values(self, name: str) -> np.ndarray | None:
        """A record of `series` as float64 (saves, ...); None if it is absent or holds no number."""
        if self.axes(name)[:1] != ("time",):
            return None
        values = self._recorded.variables[name].values[self._reached].astype(np.float64)
        return values if np.any(np.isfinite(values)) else None

    def names(self) -> Iterable[str]:
        """What was recorded."""
        return self._recorded.variables

    def axes(self, name: str) -> tuple[str, ...]:
        """Of a record; none if it is absent."""
        record = self._recorded.variables.get(name)
        return () if record is None else record.dims

    def label(self, name: str) -> str:
        """What a record is called on an axis."""
        return str(self._recorded.variables[name].attrs.get("long_name", name))

    def entries(self, name: str) -> list[str]:
        """What the columns of a (time, entry) record are called: its coordinate, else 1, 2, ..."""
        record = self._recorded.variables[name]
        if record.dims[1] in self._recorded.coordinates:
            return [str(entry) for entry in self._recorded.at(record.dims[1]).values]
        return [str(i + 1) for i in range(record.values.shape[1])]


def open_result(folder: str | Path) -> Result:
    """A stored run. ConfigError if the folder holds none, or a damaged one."""
    folder = Path(os.path.expanduser(folder))
    if "\0" in str(folder):
        raise ConfigError("RESULT", "has a NUL character in its path; take it out")
    settle_stored(folder)
    summary, tree = read_summary(folder), read_tree(folder)
    result = Result(summary, lambda: tree, folder, fresh=False)
    try:
        tables.drift_rows(result)
        _ = result.exit_code
    except Exception as error:  # whatever is left of it
        what = f"holds a damaged result ({type(error).__name__}: {error}); run it again"
        raise ConfigError(str(folder), what) from error
    return result


def settle_stored(folder: Path) -> None:
    """Put in place what a run had written whole when it was killed."""
    with contextlib.suppress(OSError):  # a reader need not be able to write
        finish_exchange(folder)


def read_summary(folder: Path) -> dict[str, Any]:
    """The stored summary. ConfigError if `folder` holds no result."""
    try:
        summary = json.loads((folder / SUMMARY).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        inside = _results_in(folder)
        remedy = f"give one of those in it: {inside}" if inside else "give a result folder"
        raise ConfigError(str(folder), f"holds no faflow result; {remedy}") from None
    if not isinstance(summary, dict) or summary.get("schema") != SCHEMA:
        raise ConfigError(str(folder), f"holds no summary of schema {SCHEMA}; run it again")
    return summary


def _results_in(folder: Path) -> str:
    """The names of results that lie in a folder, if not too many."""
    try:
        found = sorted(path.parent.name for path in folder.glob(f"*/{SUMMARY}"))
    except OSError:
        return ""
    more = [f"{len(found) - MOST} more"] if len(found) > MOST else []
    return ", ".join([*found[:MOST], *more])


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
