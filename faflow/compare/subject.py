"""What a report is made from: stored runs and sweeps, by names that are unique on the page."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..config.dump import without_folders
from ..config.errors import ConfigError
from ..store.result import CONFIG, Result
from ..sweeps.distribution import Members
from ..sweeps.result import open_stored


class Subject(NamedTuple):
    """A result under its `name` on the page, with the text of its `config`. `members`: of a sweep,
    else None; `cases`: what the page lets its reader choose, a run being one case, a sweep one per
    combination."""

    name: str
    result: Result
    config: str
    cases: tuple[str, ...]
    members: Members | None = None

    @property
    def summary(self) -> dict[str, Any]:
        return self.result.summary

    @property
    def folder(self) -> Path:
        assert self.result.folder is not None
        return self.result.folder

    @property
    def path(self) -> str:
        """The folder's name: where it lies on this machine is nobody's business."""
        return readable(_parts(str(self.folder))[-1])

    @property
    def provenance(self) -> dict[str, str]:
        """Versions, device, and the hash of what was run."""
        told = self.summary.get("environment") or {
            key: value for key, value in self.result.records.attrs.items()
            if key not in ("name", "config")
        }  # fmt: skip
        return {str(key): str(value) for key, value in told.items()}


@dataclass(frozen=True)
class Claims:
    """A paper's title and the rows of its table: check, verdict, measured, value, tolerance; and of
    what it says, what was found, and where the reproduction ends, if that is told."""

    title: str
    rows: list[dict[str, str]]
    compared: list[dict[str, str]]


def open_subjects(folders: Sequence[str]) -> list[Subject]:
    """The results in `folders`. ConfigError if one holds none, or is given twice."""
    found, refused = open_those(folders)
    if refused:
        raise refused[0]
    return found


def open_those(folders: Sequence[str]) -> tuple[list[Subject], list[ConfigError]]:
    """The results that can be read, and why the others can't: an error with the folder as its key.
    ConfigError if a folder is given twice."""
    for folder in folders:
        if "\0" in folder:
            raise ConfigError("RESULT", f"is {folder!r}; take out the NUL character")
    folders = [os.path.expanduser(folder) for folder in folders]
    real = [os.path.realpath(folder) for folder in folders]
    for folder, count in zip(folders, map(real.count, real), strict=True):
        if count > 1:
            raise ConfigError(readable(folder), "is given twice; give it once")
    opened: dict[str, tuple[Result, str]] = {}
    refused = []
    inside = [result for folder in folders for result in _results_in(folder)]
    for place in inside:
        try:
            result = open_stored(place)
            opened[place] = result, _config_of(result)
        except ConfigError as error:
            refused.append(ConfigError(readable(place), error.what))
    counts = Counter(one.name for one, _ in opened.values())
    found = [
        _subject(one, config, several=len(opened) > 1,
                 name=one.name if counts[one.name] == 1 else f"{one.name} ({readable(tail)})")
        for (one, config), tail in zip(opened.values(), _tails(list(opened)), strict=True)
    ]  # fmt: skip
    return found, refused


def claims_of(folders: Sequence[str]) -> list[Claims]:
    """The judged claims of those folders that are a reproduction's."""
    found = []
    for folder in (Path(os.path.expanduser(one)) for one in folders):
        if (folder / "summary.json").exists():
            continue
        from ..reproduce import PAPERS, comparison, is_reproduction, open_report, rows

        report = open_report(folder) if is_reproduction(folder) else None
        if report is not None:
            title = PAPERS[report.paper].title
            found.append(Claims(title, rows(report), comparison(report)))
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


def _config_of(result: Result) -> str:
    assert result.folder is not None
    try:
        return without_folders((result.folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        what = f"holds no readable {CONFIG} ({type(error).__name__}); run it again"
        raise ConfigError(readable(str(result.folder)), what) from error


def _subject(result: Result, config: str, several: bool, name: str) -> Subject:
    if not result.swept:
        return Subject(name, result, config, (name,))
    members = Members(result.records)
    told = [
        ", ".join(f"{p.short} = {p.labels[i]}" for p, i in zip(members.parameters, at, strict=True))
        for at in members.combinations()
    ]
    named = tuple(f"{name}: {case}" if several and case else case or name for case in told)
    return Subject(name, result, config, named, members)


def readable(text: str) -> str:
    """Text that can be encoded: bytes of a path that are no UTF-8 are written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
