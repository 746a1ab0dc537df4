"""What became of a reproduction's claims, read back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError
from .check import Check, Reading
from .layout import CHECKS, SCHEMA
from .papers import PAPERS
from .report import Report


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
        Reading(measure["what"], measure["value"], measure["bound"], measure["control"])
        for measure in told["measured"]
    )
    return Check(
        **{key: told[key] for key in keys}, measures=measures, runs=tuple(told["runs"]),
        figure=told["figure"], reason=told.get("reason"), was_run=told["verdict"] != "not run",
        boundary=told.get("boundary", ""), refuted=told.get("refuted", False),
    )  # fmt: skip
