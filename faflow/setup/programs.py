"""JAX as a config wants it, and in words what is wrong with the compiled programs on disk."""

import glob
import importlib
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import jax

from .._described import changed_since, code
from .._shelf import kept_in
from ..cache import own_since
from ..flow import keeps_its_own, kept_programs, program_folder

# JAX's words about it.
_TROUBLE = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': ")
_PACKED_BY = ("zlib", "zstandard", "compression.zstd")  # whichever JAX found
_PATIENCE = 0.3  # seconds in which another process has written a program that it began to write


@contextmanager
def in_precision(precision: str, tell: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """JAX in float64 or float32 for as long as one config runs, compiled programs kept on disk;
    `tell` as in `telling_programs`."""
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", precision == "float64")
    try:
        with telling_programs(tell):
            yield
    finally:
        jax.config.update("jax_enable_x64", before)


@contextmanager
def telling_programs(tell: Callable[[str], None]) -> Iterator[None]:
    """Compiled programs kept on disk; one sentence for `tell` where that can't be done. Nothing
    else depends on it: what can't be read is compiled, what can't be written is not kept, and what
    is damaged is removed, so that it is kept again."""
    said: list[str] = []

    def say(why: str) -> None:
        if not said:
            said.append(why)
            tell(f"compiled programs are not kept, or not found again: {why}")

    try:
        if not keeps_its_own():
            program_folder()
    except (OSError, RuntimeError) as error:
        say(str(error))
    ours = not keeps_its_own()
    with kept_programs(), _untraced() if ours else nullcontext(), warnings.catch_warnings():
        warnings.filterwarnings("always", message="Error .* persistent compilation cache")
        show = warnings.showwarning

        def heard(message: Any, *about: Any, **more: Any) -> None:
            text = " ".join(str(message).split())
            trouble = _TROUBLE.match(text)
            if trouble is None:
                show(message, *about, **more)
                return
            folder = Path(getattr(jax.config, "jax_compilation_cache_dir", None) or ".")
            does, name = trouble.groups()
            removed = ours and _remove_damaged(folder, name, does == "reading" and not said)
            if does == "writing" or not ours:
                why = text.rpartition(": ")[2]
                say(f"{why}; remove {folder}, or free space there")
            elif removed:
                say(f"what is damaged in {folder} is removed, and compiled again")

        warnings.showwarning = heard
        yield


@contextmanager
def _untraced() -> Iterator[None]:
    """In a process that is faflow's own, programs are found again without being traced."""
    since = own_since()
    folder, now = None, ""
    with suppress(OSError, RuntimeError):
        if since is not None and not changed_since(since):
            folder, now = program_folder(), code()
    unchanged = lambda: since is not None and not changed_since(since)  # noqa: E731
    with kept_in(folder, now, unchanged, lambda: own_since() == since):
        yield


def _remove_damaged(folder: Path, name: str, patient: bool) -> bool:
    """Take away the programs of this name that are not whole, or all of them where they seem to be
    but can't be read. False if there was nothing: another process was just writing it."""
    paths = list(folder.glob(f"{glob.escape(name)}-*-cache"))
    damaged = [path for path in paths if not _is_whole(path)]
    if patient and damaged:
        time.sleep(_PATIENCE)
        damaged = [path for path in damaged if not _is_whole(path)]
        if not damaged:
            return False
    for path in damaged or paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return bool(paths)


def _is_whole(path: Path) -> bool:
    for packer in _PACKED_BY:
        with suppress(Exception):  # each has its own, or is not installed
            importlib.import_module(packer).decompress(path.read_bytes())
            return True
    return False
