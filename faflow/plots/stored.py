"""A stored result as the figures need it: summary, records, and where the flow ended."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .._results import Outcome
from ..netcdf import READING

_GROUPS = ("records", "events", "discrete", "simulation")
_ORDERLY = {str(outcome) for outcome in Outcome if not outcome.early}


@dataclass(frozen=True)
class Stored:
    """`summary` (schema 1) and `records` (dimension `time`), cut to the saves that were reached.

    `events`: what an exact flow tells of its kinks, None for other flows; `discrete`: the same rule
    in steps of eta, `simulation`: online learning beside a population rule, if the config asked for
    it; `over`: what runs along the horizontal axis, a parameter in figures of sweeps.
    """

    summary: dict[str, Any]
    records: xr.Dataset
    events: xr.Dataset | None = None
    discrete: xr.Dataset | None = None
    simulation: xr.Dataset | None = None
    over: str = "time"

    @property
    def name(self) -> str:
        return str(self.summary.get("name", ""))

    @property
    def status(self) -> str:
        return str(self.summary.get("status", "completed"))

    @property
    def early(self) -> bool:
        """Whether the flow ended before what was asked of it."""
        return self.status not in _ORDERLY

    @property
    def end(self) -> str:
        """` at t = 3.7`, if the summary says when the flow ended."""
        t_final = self.summary.get("t_final")
        return f" at t = {t_final:.4g}" if isinstance(t_final, int | float) else ""

    @property
    def times(self) -> np.ndarray:
        return self.records[self.over].values

    @cached_property
    def log_time(self) -> bool:
        """Whether the saves are spaced evenly in log t, rather than in t."""
        positive = self.times[self.times > 0]
        few, wide = (4, 10) if self.over == "time" else (3, 3)
        if len(positive) < few or positive[-1] < wide * positive[0]:
            return False
        return _spread(np.diff(np.log(positive))) < _spread(np.diff(positive))

    def section(self, name: str) -> dict[str, Any]:
        """A section of the summary, empty if it is absent."""
        return self.summary.get(name) or {}

    def values(self, name: str) -> np.ndarray | None:
        """A record as float64 (saves, ...); None if it is absent or holds no number."""
        if name not in self.records or self.records[name].dims[:1] != ("time",):
            return None
        values = self.records[name].values.astype(np.float64)
        return values if np.any(np.isfinite(values)) else None

    def entries(self, name: str) -> list[str]:
        """What the columns of a (time, entry) record are called: its coordinate, else 1, 2, ..."""
        record = self.records[name]
        axis = record.dims[1]
        if axis in record.coords:
            return [str(entry) for entry in record.coords[axis].values]
        return [str(i + 1) for i in range(record.shape[1])]


def read(folder: Path) -> Stored:
    """The result stored in `folder`; FileNotFoundError if it has no summary or records."""
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    with xr.open_datatree(folder / "result.nc", decode_times=False, **READING) as tree:
        return in_memory(summary, tree)


def in_memory(summary: dict[str, Any], tree: xr.DataTree) -> Stored:
    """A result whose summary and groups of records are at hand."""
    groups = {name: tree[name].to_dataset().load() for name in _GROUPS if name in tree.children}
    records = groups["records"].isel(time=_reached(groups["records"]))
    events = groups.get("events")
    if events is not None:
        events = events.isel(time=slice(0, records.sizes["time"]))  # of a flow that ended early
    discrete, simulation = (
        group if group is None else group.isel(time=slice(0, records.sizes["time"]))
        for group in (groups.get("discrete"), groups.get("simulation"))
    )
    return Stored(summary, records, events, discrete, simulation)


def _reached(records: xr.Dataset) -> np.ndarray:
    """The saves that hold a record: after an early end all floating-point records are nan."""
    times = records["time"].values
    seen = [
        np.any(np.isfinite(record.values.reshape(len(times), -1)), axis=1)
        for record in records.data_vars.values()
        if record.dims[:1] == ("time",) and record.dtype.kind == "f" and record.size
    ]
    return np.isfinite(times) & (np.any(seen, axis=0) if seen else True)


def _spread(steps: np.ndarray) -> float:
    """Interquartile range over median: one odd step, as at an early end, does not count."""
    low, middle, high = np.quantile(steps, [0.25, 0.5, 0.75])
    return float((high - low) / middle)
