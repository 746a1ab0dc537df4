"""A report onto the disk."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..compare.subject import Subject, claims_of, open_those, readable
from ..config.errors import ConfigError, disk_refusals
from ..store.files import replace_text, try_replacing
from .page import MARK, page
from .trial import trial

HEAD = 4096  # bytes in which a report says that it is one


class Written(NamedTuple):
    """The file, and the results that are not in it, each with the reason."""

    path: Path
    refused: list[ConfigError]


def write_report(folders: Sequence[str], out: str | Path) -> Path:
    """The report of the results in `folders`, written to `out`: results that can't be read are
    named on the page, the others shown. ConfigError if none can be read, if a folder is given
    twice, or if `out` can't be written or holds something else than a report."""
    try:
        return written(folders, out).path
    except ConfigError as error:
        if error.key != "--out":
            raise
        raise ConfigError("Argument `out`", error.what) from error


def written(folders: Sequence[str], out: str | Path) -> Written:
    """The same, and what was left out."""
    target = _target(out)
    what = f"is {readable(str(out))}, which can't be written"
    with disk_refusals("--out", what, "choose another file"):
        try_replacing(target)
        subjects, refused = readable_results(folders)
        replace_text(target, page(subjects, claims_of(folders), refused))
    return Written(target, refused)


def readable_results(folders: Sequence[str]) -> tuple[list[Subject], list[ConfigError]]:
    """Those that a page can show: none of a reproduction that stored no flow. ConfigError if all
    are refused."""
    subjects, refused = open_those(folders)
    if len(subjects) > 1:
        broken = {id(subject): error for subject in subjects if (error := trial(subject))}
        subjects = [subject for subject in subjects if id(subject) not in broken]
        refused += broken.values()
    if refused and not subjects:
        raise refused[0]
    return subjects, refused


def _target(out: str | Path) -> Path:
    """Where the report goes. ConfigError if a file lies there that is no report."""
    if "\0" in str(out):
        raise ConfigError("--out", f"is {str(out)!r}; take out the NUL character")
    target = Path(os.path.expanduser(out))
    said = f"is {readable(str(out))}, which"
    if target.is_dir():
        raise ConfigError("--out", f"{said} is a folder; give a file, such as report.html")
    if not Path(os.path.abspath(target)).parent.is_dir():
        raise ConfigError("--out", f"{said} lies in no folder; make the folder first")
    if target.exists():
        try:
            with target.open("rb") as file:
                old = MARK.encode() in file.read(HEAD)
        except OSError as error:
            raise ConfigError("--out", f"{said} can't be read ({error.strerror})") from error
        if not old:
            raise ConfigError("--out", f"{said} exists and is no report; choose another file")
    return target
