"""Files written whole or not at all, and on the disk before anyone is told."""

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np

from ..config.errors import ConfigError
from ..leftovers import undone_at_the_end

LOCK, TEMPORARY = ".lock", ".tmp"
MARK = "[0-9a-f]" * 8  # by which names that are there only for a moment differ


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A new folder, gone afterwards."""
    remove = partial(shutil.rmtree, path, ignore_errors=True)
    with undone_at_the_end(remove):
        try:
            path.mkdir()
            yield path
        finally:
            remove()


@contextmanager
def whole_or_absent(folder: Path) -> Iterator[None]:
    """A folder that is filled inside; if that comes to nothing, it is gone, unless it was there."""
    if os.path.lexists(folder):
        yield
        return
    remove = partial(shutil.rmtree, folder, ignore_errors=True)
    with undone_at_the_end(remove):
        try:
            yield
        except BaseException:
            remove()
            raise


@contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """A name beside a file, for what is to replace it; what is left there is gone afterwards."""
    temporary = hidden(path)
    remove = partial(temporary.unlink, missing_ok=True)
    with undone_at_the_end(remove):
        try:
            yield temporary
        finally:
            remove()


def remove_temporaries(folder: Path, of: str) -> None:
    """What processes that were killed had begun to write into a folder, to be files called `of` (a
    pattern), as `hidden` names it; another hidden file there is the user's."""
    for path in folder.glob(f".{of}.{MARK}{TEMPORARY}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def hidden(path: Path) -> Path:
    """A hidden name on the same disk, for what is to be renamed."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY}")


def write_text(path: Path, text: str) -> None:
    """A text file that is on the disk when this returns."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """A file that is on the disk when this returns. OSError if the disk is full."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """The same over an old file, of which a reader sees the old or the new text, never a part."""
    with _temporary_file(path) as temporary:
        write_text(temporary, text)
        os.replace(temporary, path)


def replace_bytes(path: Path, content: bytes | memoryview) -> None:
    """A file, whole or absent, that is on the disk when this returns."""
    with _temporary_file(path) as temporary:
        write_bytes(temporary, content)
        os.replace(temporary, path)
        sync(path.parent)


def try_replacing(path: Path) -> None:
    """OSError if no file could be put there; leaves nothing behind."""
    temporary = hidden(path)
    try:
        temporary.touch(exist_ok=False)
    finally:
        temporary.unlink(missing_ok=True)


def replace_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An `.npz` file, whole or absent, that is on the disk when this returns."""
    with _temporary_file(path) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  # numpy's stub
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)


def is_held(folder: Path) -> bool:
    """Whether a process is at work there, by its lock."""
    from filelock import lock_descriptor

    try:
        with (folder / LOCK).open("a+") as file:
            return not lock_descriptor(file.fileno(), blocking=False)
    except OSError:  # nobody can have it
        return False


@contextmanager
def locked(folder: Path, remedy: str = "use another --out") -> Iterator[None]:
    """Held by one process at a time; the system lets go of it however that process ends.
    ConfigError if another has it, and with the `remedy` if the file system has no locks."""
    from filelock import lock_descriptor  # a tenth of a second

    with (folder / LOCK).open("a+") as file:
        try:
            taken = not lock_descriptor(file.fileno(), blocking=False)
        except OSError as error:
            what = f"is {folder}, whose file system refuses locks ({error.strerror}); {remedy}"
            raise ConfigError("--out", what) from error
        if taken:
            owner = "another process"
            with suppress(OSError):  # Windows lets nobody read what is locked
                file.seek(0)
                owner = file.read().strip() or owner
            what = f"is {folder}, where {owner} is at work; wait for it, or use another --out"
            raise ConfigError("--out", what)
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def sync(path: Path) -> None:
    """A file's content, or a folder's list of names, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
