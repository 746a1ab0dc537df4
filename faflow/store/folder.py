"""Results on disk: one folder each, written whole or not at all, never overwritten silently."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import tomli_w

from ..config.dump import config_table, config_text
from ..config.errors import ConfigError, disk_refusals, folder_refusal, shown
from ..config.resolve import Resolved
from ..measures.summary import environment
from ..measures.variables.groups import Group
from .digest import Digest
from .exchange import (
    END,
    RESULT,
    check_writable,
    finish_exchange,
    is_empty,
    put_in_place,
    real_path,
    temporary_for,
)
from .files import replace_text, sync, write_bytes, write_text
from .netcdf_file import result_file
from .result import CONFIG, RECORDS, SUMMARY

Standing = Literal["absent", "same", "other-code", "different"]

ROOT = Path("results")


def folder_for(resolved: Resolved, out: str | Path | None = None) -> Path:
    """Where a result goes: `out` itself, or results/<name>."""
    if out is not None and "\0" in str(out):
        raise ConfigError("--out", f"is {shown(str(out))}; take out the NUL character")
    return ROOT / resolved.config.name if out is None else Path(os.path.expanduser(out))


def standing_of(folder: Path, wanted: Digest) -> Standing:
    """What lies in `folder`; "other-code": the same config computed by other sources of faflow.

    ConfigError if it is something that is no result of faflow's.
    """
    if not os.path.lexists(folder):
        return "absent"
    with disk_refusals(str(folder), "can't be written"):
        finish_exchange(folder)
    if is_empty(folder):
        return "absent"
    found = _stored_digest(folder)
    if found is None:
        what = f"is {folder}, which exists and is no faflow result; choose another folder"
        raise ConfigError("--out", what)
    if found == wanted:
        return "same"
    return "other-code" if found.config == wanted.config else "different"


def try_out(folder: Path) -> None:
    """ConfigError if a result could not be written there; leaves nothing behind."""
    with _giving_up(folder):
        check_writable(folder)


def write_result(
    resolved: Resolved,
    summary: dict[str, Any],
    groups: Mapping[str, Group],
    folder: Path,
    replace: bool,
    wanted: Digest,
    end: bytes = b"",
    history: Sequence[Mapping[str, Any]] = (),
) -> None:
    """The result in its folder, complete or absent; what else lies there stays. `wanted`: its
    digest as the run began; `end`: the file of what the flow knew there, if it is kept; `history`:
    the shorter flows that it goes on from. ConfigError if it can't be written; the result is then
    kept elsewhere, if there is room."""
    folder = real_path(folder)
    provenance: dict[str, Any] = {**environment(), **wanted._asdict()}
    if history:
        provenance["extended"] = [dict(one) for one in history]
    files = {SUMMARY: summary_text(summary).encode(), RECORDS: result_file(groups)}
    files |= {END: end} if end else {}
    fill = partial(_fill, resolved=resolved, files=files, provenance=provenance)
    with _giving_up(folder, lambda: _kept_elsewhere(summary["name"], fill)):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_for(folder) as temporary:
            fill(temporary, folder)
            put_in_place(temporary, folder, replace)
            sync(folder.parent)


@contextmanager
def _giving_up(folder: Path, keep: Callable[[], Path | None] = lambda: None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kept = keep()
        remedy = "free space or choose another" if kept is None else f"the result is in {kept}"
        raise folder_refusal(error, folder, remedy) from error


def _kept_elsewhere(name: str, fill: Callable[[Path, Path], None]) -> Path | None:
    """The folder of a result that its own folder does not take, in the system's place for temporary
    files; None if that does not take it either."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"faflow-{name}-"))
    except OSError:
        return None
    try:
        fill(folder, folder)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return folder


def _fill(
    folder: Path,
    into: Path,
    resolved: Resolved,
    files: Mapping[str, bytes | memoryview],
    provenance: Mapping[str, Any],
) -> None:
    """A result's files, in a `folder` that is to be `into`."""
    write_text(folder / CONFIG, config_text(resolved, into=into, provenance=provenance))
    for name, content in files.items():
        write_bytes(folder / name, content)
    sync(folder)


def summary_text(summary: dict[str, Any]) -> str:
    """The summary as JSON, which has no NaN."""
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"


def rewrite_bounds(resolved: Resolved, summary: dict[str, Any], folder: Path) -> None:
    """The stored summary and config with the current [expect]: the bounds are no part of a run."""
    with disk_refusals(str(folder), "can't be written"):
        stored = tomllib.loads((folder / CONFIG).read_text("utf-8"))
        stored.pop("expect", None)
        bounds = config_table(resolved).get("expect")
        table = stored if bounds is None else {**stored, "expect": bounds}
        replace_text(folder / CONFIG, tomli_w.dumps(table))
        replace_text(folder / SUMMARY, summary_text(summary))


def rewrite_summary(summary: dict[str, Any], folder: Path) -> None:
    """The stored summary with more in it than the run found. ConfigError if it can't be written."""
    with disk_refusals(str(folder), "can't be written"):
        replace_text(folder / SUMMARY, summary_text(summary))


def is_stored(folder: Path) -> bool:
    """Whether the folder's config is one that faflow has put there."""
    return _stored_digest(folder) is not None


def check_readable(folder: Path) -> None:
    """ConfigError if what lies there can't be read, which is no damage."""
    for name in (*RESULT, END):
        try:
            with (folder / name).open("rb") as file:
                file.read(1)
        except FileNotFoundError:
            continue
        except OSError as error:
            what = f"is {folder}, whose {name} can't be read ({error.strerror}); see to that first"
            raise ConfigError("--out", what) from error


def _stored_digest(folder: Path) -> Digest | None:
    provenance = stored_provenance(folder)
    if not {"config", "hash"} & set(provenance):
        return None
    return Digest(str(provenance.get("config", "")), str(provenance.get("source", "")))


def stored_provenance(folder: Path) -> dict[str, Any]:
    """What made the result in a folder; empty if there is none."""
    provenance = stored_config(folder).get("provenance")
    return provenance if isinstance(provenance, dict) else {}


def stored_config(folder: Path) -> dict[str, Any]:
    """The tables of a result's config; empty if there is none that can be read."""
    try:
        return tomllib.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
