"""What lies where in a reproduction's folder."""

from pathlib import Path

from ..config.errors import ConfigError
from ..store.result import SUMMARY

FIGURES, INPUTS, RUNS = "figures", "inputs", "runs"
CHECKS = "checks.json"
SCHEMA = 1  # of that file
LAYOUT = frozenset({RUNS, FIGURES, INPUTS, CHECKS})


def is_reproduction(folder: Path) -> bool:
    """Whether a folder is that of a reproduction, complete or not."""
    try:
        inside = {path.name for path in folder.iterdir()}
    except OSError:
        return False
    return bool(inside & {RUNS, CHECKS}) and inside <= LAYOUT


def runs_in(folder: Path) -> list[Path]:
    """The results in a reproduction's folder, by name; none if its checks count and run nothing.
    ConfigError if it has none yet."""
    found = sorted(path.parent for path in (folder / RUNS).glob(f"*/{SUMMARY}"))
    if not found and not ((folder / CHECKS).is_file() and not (folder / RUNS).exists()):
        raise ConfigError(str(folder), "is a reproduction without runs; run faflow reproduce again")
    return found
