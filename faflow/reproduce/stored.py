"""A reproduction's folder, read back: its runs, and what became of its claims."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..experiments import ConfigError
from ..experiments.store import SUMMARY
from .check import Check, Measure
from .papers import PAPERS
from .report import CHECKS, LAYOUT, SCHEMA, Report
from .session import RUNS


def is_reproduction(folder: Path) -> bool:
    """Whether a folder is that of a reproduction, complete or not."""
    try:
        inside = {path.name for path in folder.iterdir()}
    except OSError:
        return False
    return RUNS in inside and inside <= LAYOUT


def runs_in(folder: Path) -> list[Path]:
    """The results in a reproduction's folder, by name. ConfigError if it has none yet."""
    found = sorted(path.parent for path in (folder / RUNS).glob(f"*/{SUMMARY}"))
    if not found:
        raise ConfigError(str(folder), "is a reproduction without runs; run faflow reproduce again")
    return found


def open_report(folder: Path) -> Report | None:
    """Its claims as they were judged; None before all have been. ConfigError if damaged."""
    if not (folder / CHECKS).is_file():
        return None
    try:
        table = json.loads((folder / CHECKS).read_text("utf-8"))
        if table["schema"] != SCHEMA or table["paper"] not in PAPERS:
            raise ValueError("of another version of faflow")
        return Report(table["paper"], folder, tuple(map(_check, table["checks"])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"holds a {CHECKS} that can't be read ({error}); run faflow reproduce again"
        raise ConfigError(str(folder), what) from error


def _check(told: Mapping[str, Any]) -> Check:
    keys = ("name", "claim", "source", "scope", "remark")
    measures = tuple(
        Measure(measure["what"], measure["value"], measure["bound"], measure["control"])
        for measure in told["measured"]
    )
    return Check(
        **{key: told[key] for key in keys}, measures=measures, runs=tuple(told["runs"]),
        figure=told["figure"], reason=told.get("reason"), was_run=told["verdict"] != "not run",
    )  # fmt: skip
