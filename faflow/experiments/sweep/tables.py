"""A sweep in a few rows: statuses, bounds, and the figures that matter with their spread."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .sweep import Sweep

Row = dict[str, str]
SHOWN = ("exponent.rate", "exponent.relative_error", "minimum_norm.relative_distance")


def sweep_rows(sweep: Sweep) -> list[Row]:
    """What became of the members, the bounds, and medians with the smallest and largest."""
    summary = sweep.summary
    rows = [{"": "members", "value": _counts(summary["statuses"])}]
    figures = sweep.records["figures"].to_dataset()
    laws = [n for n in map(str, figures) if n.startswith("laws.") and n.endswith(".relative_drift")]
    for name in ("loss.final", *laws, *SHOWN):
        if name in figures and figures[name].dtype.kind == "f":
            values = figures[name].values
            rows.append({"": name, "value": _spread(values[np.isfinite(values)])})
    for path, verdict in summary.get("expect", {}).items():
        told = "holds for all" if verdict["ok"] else f"BROKEN by {verdict['broken']} members"
        rows.append({"": f"expect {path}", "value": told})
    return rows


def _counts(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items())


def _spread(values: Any) -> str:
    if not values.size:
        return "not known for any member"
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
    return f"{middle:.4g}  ({low:.4g} to {high:.4g})"
