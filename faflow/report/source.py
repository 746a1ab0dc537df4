"""What a report is made from: stored runs and sweeps, by names that are unique on the page."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..experiments import ConfigError, Members, is_sweep, open_result, open_sweep
from ..plots.stored import Stored, read

CONFIG = "config.toml"


@dataclass(frozen=True)
class Source:
    """A stored result. `stored`: of a run, else None; `members`: of a sweep, else None; `cases`:
    what the page lets its reader choose, a run being one case, a sweep one per combination."""

    name: str
    folder: Path
    summary: dict[str, Any]
    records: Any
    result: Any
    config: str
    cases: tuple[str, ...]
    stored: Stored | None = None
    members: Members | None = None

    @property
    def path(self) -> str:
        return readable(str(self.folder))

    @property
    def provenance(self) -> dict[str, str]:
        """Versions, device, and the hash of what was run."""
        told = self.summary.get("environment") or {
            key: value for key, value in self.records.attrs.items() if key not in ("name", "config")
        }
        return {str(key): str(value) for key, value in told.items()}


def open_sources(folders: Sequence[str]) -> list[Source]:
    """The results in `folders`. ConfigError if one holds none, or is given twice."""
    for folder in folders:
        if "\0" in folder:
            raise ConfigError("RESULT", f"is {folder!r}; take out the NUL character")
    real = [os.path.realpath(folder) for folder in folders]
    for folder, count in zip(folders, map(real.count, real), strict=True):
        if count > 1:
            raise ConfigError(readable(folder), "is given twice; give it once")
    opened = [(open_sweep if is_sweep(folder) else open_result)(folder) for folder in folders]
    counts = Counter(one.summary["name"] for one in opened)
    names = [
        one.summary["name"] if counts[one.summary["name"]] == 1
        else f"{one.summary['name']} ({readable(folder)})"
        for one, folder in zip(opened, folders, strict=True)
    ]  # fmt: skip
    return [
        _source(one, name, Path(folder), len(opened) > 1)
        for one, name, folder in zip(opened, names, folders, strict=True)
    ]


def _source(one: Any, name: str, folder: Path, several: bool) -> Source:
    try:
        config = (folder / CONFIG).read_text("utf-8")
    except (OSError, ValueError) as error:
        what = f"holds no readable {CONFIG} ({type(error).__name__}); run it again"
        raise ConfigError(readable(str(folder)), what) from error
    basis = (name, folder, one.summary, one.records, one, config)
    if one.summary.get("kind") != "sweep":
        return Source(*basis, cases=(name,), stored=read(folder))
    members = Members(one.records)
    told = [
        ", ".join(f"{p.short} = {p.labels[i]}" for p, i in zip(members.parameters, at, strict=True))
        for at in members.combinations()
    ]
    named = tuple(f"{name}: {case}" if several and case else case or name for case in told)
    return Source(*basis, cases=named, members=members)


def readable(text: str) -> str:
    """Text that can be encoded: bytes of a path that are no UTF-8 are written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
