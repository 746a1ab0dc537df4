"""`faflow.open`: a stored result that shows itself. No JAX is loaded."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config.errors import ConfigError
from .store.result import Result, Views
from .sweeps.result import open_stored


def open_shown(folder: str | Path) -> Result:
    """What a folder holds, of one run or of a sweep; it prints as the table of `faflow run` or
    `faflow sweep`, and has `to_pandas`, `to_xarray`, `plot` and `report`. ConfigError if it is
    neither."""
    return dataclasses.replace(open_stored(folder), views=Views(_text, _plot, _report))


def run_text(summary: Mapping[str, Any]) -> str:
    """The table that `faflow run` prints."""
    from .measures.summary import summary_rows

    rows = [(row["what"], row["measured"]) for row in summary_rows(summary)]
    width = max(len(what) for what, _ in rows)
    return "\n".join(f"{what:{width}}  {measured}" for what, measured in rows)


def _text(result: Result) -> str:
    if not result.swept:
        return run_text(result.summary)
    from .sweeps.tables import sweep_rows

    rows = sweep_rows(result)
    width = max(len(row[""]) for row in rows)
    lines = []
    for row in rows:
        more = "; ".join(row[key] for key in ("of", "the others") if row.get(key))
        lines.append(f"{row['']:{width}}  {row['value']}" + (f"  ({more})" if more else ""))
    return "\n".join(lines)


def _plot(result: Result) -> Any:
    if result.swept:
        what = "is a sweep, which has several figures: faflow plot draws them into its folder"
        raise ConfigError(str(result.folder), what)
    from .plots.draw import draw_overview

    return draw_overview(result)


def _report(result: Result, out: str | os.PathLike[str]) -> Path:
    from .report import write_report

    return write_report([str(result.folder)], os.fspath(out))
