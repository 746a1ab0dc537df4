"""What a report is made from: stored runs and sweeps, by names that are unique on the page."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.dump import without_folders
from ..config.errors import ConfigError
from ..plots.stored import Stored, read
from ..store.result import open_result
from ..sweeps.distribution import Members
from ..sweeps.result import is_sweep, open_sweep

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
        """The folder's name: where it lies on this machine is nobody's business."""
        return readable(_parts(str(self.folder))[-1])

    @property
    def provenance(self) -> dict[str, str]:
        """Versions, device, and the hash of what was run."""
        told = self.summary.get("environment") or {
            key: value for key, value in self.records.attrs.items() if key not in ("name", "config")
        }
        return {str(key): str(value) for key, value in told.items()}


@dataclass(frozen=True)
class Claims:
    """A paper's title and the rows of its table: check, verdict, measured, value, tolerance."""

    title: str
    rows: list[dict[str, str]]


def open_sources(folders: Sequence[str]) -> list[Source]:
    """The results in `folders`. ConfigError if one holds none, or is given twice."""
    for folder in folders:
        if "\0" in folder:
            raise ConfigError("RESULT", f"is {folder!r}; take out the NUL character")
    folders = [os.path.expanduser(folder) for folder in folders]
    real = [os.path.realpath(folder) for folder in folders]
    for folder, count in zip(folders, map(real.count, real), strict=True):
        if count > 1:
            raise ConfigError(readable(folder), "is given twice; give it once")
    folders = [one for folder in folders for one in _results_in(folder)]
    opened = [(open_sweep if is_sweep(folder) else open_result)(folder) for folder in folders]
    counts = Counter(one.summary["name"] for one in opened)
    tails = _tails(folders)
    names = [
        one.summary["name"] if counts[one.summary["name"]] == 1
        else f"{one.summary['name']} ({readable(tail)})"
        for one, tail in zip(opened, tails, strict=True)
    ]  # fmt: skip
    return [
        _source(one, name, Path(folder), len(opened) > 1)
        for one, name, folder in zip(opened, names, folders, strict=True)
    ]


def claims_of(folders: Sequence[str]) -> list[Claims]:
    """The judged claims of those folders that are a reproduction's."""
    found = []
    for folder in (Path(os.path.expanduser(one)) for one in folders):
        if (folder / "summary.json").exists():
            continue
        from ..reproduce import PAPERS, is_reproduction, open_report, rows

        report = open_report(folder) if is_reproduction(folder) else None
        if report is not None:
            found.append(Claims(PAPERS[report.paper].title, rows(report)))
    return found


def _results_in(folder: str) -> list[str]:
    """The folder itself, or the runs of a reproduction."""
    if not (Path(folder) / "summary.json").exists():
        from ..reproduce import is_reproduction, runs_in  # all of its papers: only where asked

        if is_reproduction(Path(folder)):
            return [str(run) for run in runs_in(Path(folder))]
    return [folder]


def _tails(folders: Sequence[str]) -> list[str]:
    """The ends of the paths, as long as it takes to tell them apart."""
    parts = [_parts(folder) for folder in folders]
    for count in range(1, max(map(len, parts), default=1)):
        tails = ["/".join(part[-count:]) for part in parts]
        if len(set(tails)) == len(tails):
            return tails
    return ["/".join(part) for part in parts]


def _parts(folder: str) -> list[str]:
    return os.path.abspath(folder).split(os.sep)


def _source(one: Any, name: str, folder: Path, several: bool) -> Source:
    try:
        config = without_folders((folder / CONFIG).read_text("utf-8"))
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
