"""Results on disk: one folder each, written whole or not at all, never overwritten silently."""

import json
import os
import shutil
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from .digest import content_hash
from .dump import config_text
from .errors import ConfigError
from .resolve import Resolved
from .summary import environment

ROOT = Path("results")
CONFIG, RECORDS, SUMMARY, FIGURES = "config.toml", "result.nc", "summary.json", "figures"


def folder_for(resolved: Resolved, out: str | Path | None = None) -> Path:
    """Where a result goes: `out` itself, or results/<name>."""
    return ROOT / resolved.config.name if out is None else Path(out)


def standing(folder: Path, digest: str) -> Literal["absent", "same", "different"]:
    """What lies in `folder`. ConfigError if it is something that is no result of faflow's."""
    if not os.path.lexists(folder):
        return "absent"
    if _is_empty(folder):
        return "absent"
    found = _stored_hash(folder)
    if found is None:
        what = f"is {folder}, which exists and is no faflow result; choose another folder"
        raise ConfigError("--out", what)
    return "same" if found == digest else "different"


def write(
    resolved: Resolved, summary: dict[str, Any], tree: xr.DataTree, folder: Path, replace: bool
) -> None:
    """The result folder, complete or absent. ConfigError if it can't be written."""
    folder = Path(os.path.abspath(folder))
    provenance = {**environment(), "hash": content_hash(resolved)}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_sibling(folder) as temporary:
            text = config_text(resolved, into=folder, provenance=provenance)
            _write_text(temporary / CONFIG, text)
            _write_text(temporary / SUMMARY, summary_text(summary))
            _write_tree(temporary / RECORDS, tree)
            _sync(temporary)
            _put_in_place(temporary, folder, replace)
            _sync(folder.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        what = f"is {folder}, which can't be written ({reason}); free space or choose another"
        raise ConfigError("--out", what) from error


def summary_text(summary: dict[str, Any]) -> str:
    """The summary as JSON, which has no NaN."""
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"


def read_summary(folder: Path) -> dict[str, Any]:
    """The stored summary. ConfigError if `folder` holds no result."""
    try:
        return json.loads((folder / SUMMARY).read_text("utf-8"))
    except (OSError, ValueError):
        raise ConfigError(str(folder), "holds no faflow result; give a result folder") from None


def read_tree(folder: Path) -> xr.DataTree:
    """The stored records, loaded into memory. ConfigError if there are none."""
    try:
        with xr.open_datatree(folder / RECORDS, engine="h5netcdf") as tree:
            return tree.load()
    except (OSError, ValueError, KeyError):
        raise ConfigError(str(folder), f"holds no readable {RECORDS}; run it again") from None


def _is_empty(folder: Path) -> bool:
    try:
        return folder.is_dir() and not any(folder.iterdir())
    except OSError:
        return False


def _stored_hash(folder: Path) -> str | None:
    try:
        table = tomllib.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    provenance = table.get("provenance")
    return provenance.get("hash") if isinstance(provenance, dict) else None


@contextmanager
def _temporary_sibling(folder: Path) -> Iterator[Path]:
    temporary = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _write_tree(path: Path, tree: xr.DataTree) -> None:
    try:
        tree.to_netcdf(path, engine="h5netcdf")
    except RuntimeError as error:  # how HDF5 reports a full disk on closing
        raise OSError(str(error)) from error
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(temporary: Path, folder: Path, replace: bool) -> None:
    """Rename, which fails if another run put a result there meanwhile."""
    if not replace or not folder.is_dir() or _is_empty(folder):
        try:
            os.rename(temporary, folder)
        except OSError as error:
            if folder.exists():
                what = f"is {folder}, which another run has just written; use --out or --replace"
                raise ConfigError("--out", what) from error
            raise
        return
    with _temporary_sibling(folder) as aside:
        os.rename(folder, aside / "old")
        try:
            os.rename(temporary, folder)
        except OSError:
            os.rename(aside / "old", folder)
            raise
