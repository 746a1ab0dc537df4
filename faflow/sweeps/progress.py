"""A sweep that has not run to its end, read back: its plan says what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config.expect import parse_bounds
from ..measures.json_numbers import SCHEMA
from ..measures.variables.datasets import xr
from ..store.result import Result
from .chunks import read_chunks
from .distribution import Members
from .figures import variable_name
from .gaps import refusals
from .gather import attributes, gather
from .plan import SweepPlan
from .result import is_older, mixed_up, stored_table


def gathered(folder: Path, provenance: Mapping[str, str]) -> Result:
    """What there is of it. ConfigError if an older faflow wrote it."""
    plan = stored_plan(folder)
    tree = gather(plan, read_chunks(folder), attributes(plan, provenance))
    return Result(summary_of(plan, tree), lambda: tree, folder, fresh=False)


def stored_plan(folder: Path) -> SweepPlan:
    """The plan of a stored sweep, by which workers number its members and all else finds them.
    ConfigError if the folder holds none, or one that an older faflow wrote."""
    table = stored_table(folder)
    table.pop("provenance", None)
    if is_older(table):
        raise mixed_up(folder)
    return SweepPlan(table, folder, folder.resolve().name)


def summary_of(plan: SweepPlan, tree: xr.DataTree) -> dict[str, Any]:
    figures = tree["figures"].to_dataset()
    statuses = Counter(str(status) for status in figures["status"].values.ravel())
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "sweep",
        "name": plan.name,
        "members": plan.grid.size,
        "programs": len(plan.programs),
        "axes": {axis.name: axis.size for axis in plan.grid.axes},
        "statuses": dict(sorted(statuses.items())),
    }
    if told := refusals(Members(tree)):
        summary["refused"] = [refusal._asdict() for refusal in told]
    bounds = parse_bounds(plan.table.get("expect", {}))
    verdicts = {}
    for path, bound in bounds.items():
        name = variable_name(f"expect.{path}.ok")
        kept = figures[name].values == 1 if name in figures else None
        broken = plan.grid.size if kept is None else int((~kept).sum())
        verdicts[path] = {"bound": bound, "broken": broken, "ok": broken == 0}
    if verdicts:
        summary["expect"] = verdicts
    return summary
