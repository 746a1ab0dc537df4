"""A result put where another may lie: all of it or nothing, and nothing else in the folder touched.

A folder that is not there yet is written beside its place and renamed. In one that is, files go in
one by one, so that the folder itself, links to it and what others keep in it stay: the new files
lie whole in NEW, whose name makes them the result, and whoever comes next puts in place what a kill
left there.
"""

import contextlib
import json
import os
import re
import shutil
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config.errors import ConfigError
from ..drawn import remove_drawn
from ..leftovers import in_one_piece
from .files import sync, temporary_folder, write_text

MINE = ".faflow."  # how names begin of what is there only for a moment
NEW = f"{MINE}new"
_NAMES = "names"  # in NEW: what is put in place, and what goes: the old result has more
_CLEARED = ".cleared"  # in NEW, after a folder's name: the old one's files are gone
# What a result or a sweep may consist of; whatever else lies in a folder is the user's.
RESULT = ("config.toml", "result.nc", "summary.json")
END = "end-state.npz"  # of a run: what its flow knew at its end
ENDS = "end-states"  # the same of a sweep's members, a file for each
SWEEP = ("result.zarr", "result.zarr.sha256", "batches.json", "chunks", ENDS)
# In folders of a sweep's own.
_CHUNK = re.compile(r"\.?\d+(-[0-9a-f]+)?\.npz(\..*\.tmp)?")
_FOLDERS = ("chunks", ENDS)
FIGURES = "figures"


def real_path(folder: str | os.PathLike[str]) -> Path:
    """The folder itself, behind links."""
    return Path(os.path.realpath(folder))


def checkpoint_of(folder: Path) -> Path:
    """Where a run whose result goes to `folder` keeps what it knows meanwhile."""
    folder = real_path(folder)
    return folder.with_name(f".{folder.name}.checkpoint")


def is_empty(folder: Path) -> bool:
    """Whether it is a folder with nothing in it, not even hidden, that a result could harm."""
    try:
        return folder.is_dir() and all(p.name.startswith(MINE) for p in folder.iterdir())
    except OSError:
        return False


@contextmanager
def temporary_for(folder: Path) -> Iterator[Path]:
    """A new hidden folder on the same disk: in `folder` if that is there, else beside it."""
    mark = f"{uuid.uuid4().hex[:8]}.tmp"
    inside = folder.is_dir()
    temporary = folder / f"{MINE}{mark}" if inside else folder.parent / f".{folder.name}.{mark}"
    with temporary_folder(temporary):
        yield temporary


def check_writable(folder: Path) -> None:
    """OSError if no result can be put there. Leaves nothing behind."""
    folder = real_path(folder)
    there = folder
    while not there.exists():
        there = there.parent
    with temporary_for(there if there == folder else there / folder.name):
        pass


def put_in_place(temporary: Path, folder: Path, replace: bool) -> None:
    """Make the files of `temporary` (of `temporary_for`) the result in `folder`. ConfigError if
    another run put one there meanwhile, unless `replace`."""
    with in_one_piece():
        _put_in_place(temporary, folder, replace)


def _put_in_place(temporary: Path, folder: Path, replace: bool) -> None:
    if temporary.parent != folder:
        try:
            os.rename(temporary, folder)
        except OSError as error:
            if folder.exists():
                raise _taken(folder) from error
            raise
        return
    finish_exchange(folder)
    if not replace and any((folder / name).exists() for name in RESULT):
        raise _taken(folder)
    _remove_figures(folder)
    put = sorted(path.name for path in temporary.iterdir())
    old = (*RESULT, *SWEEP) if _holds_sweep(folder) else (*RESULT, END)
    gone = [name for name in old if name not in put]
    write_text(temporary / _NAMES, json.dumps({"put": put, "gone": gone}))
    sync(temporary)
    os.rename(temporary, folder / NEW)
    sync(folder)
    finish_exchange(folder)


def finish_exchange(folder: Path) -> None:
    """Put in place what was written whole and then interrupted; does nothing else."""
    new = folder / NEW
    if not new.is_dir():
        return
    try:
        names = json.loads((new / _NAMES).read_text("utf-8"))
        put, gone = ({*names[key]} & {*RESULT, END, *SWEEP} for key in ("put", "gone"))
    except (OSError, ValueError, TypeError, KeyError):
        pass
    else:
        for name in sorted(put):
            if (new / name).is_dir() and (folder / name).is_dir():
                _exchange_folder(new, folder, name)
                continue
            with contextlib.suppress(FileNotFoundError):  # in place already
                os.replace(new / name, folder / name)
        for name in sorted(gone):
            remove(folder, name)
        sync(folder)
        for path in new.glob(f"*{_CLEARED}"):
            path.unlink()
        (new / _NAMES).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        new.rmdir()


def _exchange_folder(new: Path, folder: Path, name: str) -> None:
    """A part that is a folder, in the place of the old one; where others' files keep that (what a
    desktop, or a network's file system, puts there), its own files go in one by one."""
    cleared = new / f"{name}{_CLEARED}"
    if not cleared.exists():
        remove(folder, name)
        cleared.touch()
        sync(new)
    if not (folder / name).exists():
        os.replace(new / name, folder / name)
        return
    for path in sorted((new / name).iterdir()):
        if _CHUNK.fullmatch(path.name):
            os.replace(path, folder / name / path.name)
    sync(folder / name)
    shutil.rmtree(new / name)


def _holds_sweep(folder: Path) -> bool:
    """Whether what is replaced is a sweep; if not, files by the names of its parts are theirs."""
    try:
        return "sweep" in tomllib.loads((folder / "config.toml").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False


def remove(folder: Path, name: str) -> None:
    """A part of a result or a sweep; of the folder of chunks its own files alone."""
    path = folder / name
    if name in _FOLDERS and path.is_dir():
        for file in path.iterdir():
            if _CHUNK.fullmatch(file.name):
                file.unlink(missing_ok=True)
        _remove_if_empty(path)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_figures(folder: Path) -> None:
    figures = folder / FIGURES
    remove_drawn(figures)
    _remove_if_empty(figures)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _taken(folder: Path) -> ConfigError:
    what = f"is {folder}, which another run has just written; use --out or --replace"
    return ConfigError("--out", what)
