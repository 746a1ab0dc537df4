"""A sweep on disk, read back: without JAX where all its members have run."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError
from ..store.result import CONFIG, SUMMARY, Result, open_result, read_summary, settle_stored
from .records import are_there, read_records

OLDER = (
    "a sweep by an older faflow, which may have mixed up its members (their axes had two orders)"
)


def open_sweep(folder: str | Path) -> Result:
    """A stored sweep, as far as it has run; no code is run that its config names. ConfigError if
    the folder holds none, or one whose members an older faflow mixed up."""
    folder = Path(os.path.expanduser(folder))
    settle_stored(folder)
    provenance = stored_table(folder).get("provenance", {})
    if is_done(folder):
        records = read_records(folder)
        check_names(folder, [str(dim) for dim in records["figures"]["status"].dims])
        return Result(read_summary(folder), lambda: records, folder, fresh=False)
    from .progress import gathered  # by its plan, and so with all kinds that there are

    return gathered(folder, provenance)


def open_stored(folder: str | Path) -> Result:
    """What a folder holds, of one run or of a sweep. ConfigError if it is neither."""
    return open_sweep(folder) if is_sweep(folder) else open_result(folder)


def is_sweep(folder: str | Path) -> bool:
    """Whether a folder holds a sweep (rather than the result of one run)."""
    try:
        folder = Path(os.path.expanduser(folder))
        settle_stored(folder)
        stored_table(folder)
    except ConfigError:
        return False
    return True


def is_done(folder: Path) -> bool:
    """Whether all members are gathered."""
    return (folder / SUMMARY).is_file() and are_there(folder)


def stored_table(folder: Path) -> dict[str, Any]:
    """The config of a stored sweep. ConfigError if the folder holds none."""
    try:
        table = tomllib.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        table = {}
    if "sweep" not in table or not isinstance(table.get("provenance", {}), dict):
        raise ConfigError(str(folder), "holds no faflow sweep; give the folder of one")
    return table


def check_names(folder: Path, dims: Sequence[str]) -> None:
    """ConfigError for a finished sweep of an older faflow whose members bear wrong names: its data
    have the axes `dims`, in this order, and its members were numbered by the folder's config."""
    table = stored_table(folder)
    if not is_older(table):
        return
    from .axes import ZIP
    from .plan import SweepPlan

    try:
        axes = SweepPlan(table, folder, "").grid.axes
    except ConfigError:
        raise mixed_up(folder) from None
    names = [{axis.name, ZIP, *axis.columns} for axis in axes]
    if len(dims) != len(names) or not all(map(set.__contains__, names, dims)):
        raise mixed_up(folder)


def is_older(table: dict[str, Any]) -> bool:
    """Whether nothing says the order of the axes."""
    return not (isinstance(table["sweep"], dict) and "order" in table["sweep"])


def mixed_up(folder: Path) -> ConfigError:
    """The error of a sweep whose members are not those of its plan."""
    again = f"faflow sweep {folder / CONFIG} --out {folder} --replace"
    return ConfigError(str(folder), f"holds {OLDER}; run it again: {again}")
