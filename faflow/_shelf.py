"""Where programs are kept from one process to the next, and how: in files that are whole or none.

They lie beside those of JAX's cache, and trouble with them is told in JAX's words, which
`setup.programs` makes a sentence of. Nothing depends on them.
"""

import hashlib
import os
import uuid
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

_SUM = 32  # bytes of the sha256 before what is kept
_ENABLED = "jax_enable_compilation_cache"


class _Shelf:
    """The folder (None: nothing is kept), faflow's code as a hash, whether nobody else's code has
    run (asked at every use), and whether the files of all code are as they were loaded (when
    something is kept)."""

    folder: Path | None = None
    code: str = ""
    own: Callable[[], bool] = staticmethod(lambda: False)
    unchanged: Callable[[], bool] = staticmethod(lambda: False)

    def is_open(self) -> bool:
        return self.folder is not None and self.own()


shelf = _Shelf()


@contextmanager
def kept_in(
    folder: Path | None, code: str, unchanged: Callable[[], bool], own: Callable[[], bool]
) -> Iterator[None]:
    """Programs are kept in that folder, and found there, as long as this lasts."""
    before = shelf.folder, shelf.code, shelf.unchanged, shelf.own
    shelf.folder, shelf.code, shelf.unchanged, shelf.own = folder, code, unchanged, own
    try:
        yield
    finally:
        shelf.folder, shelf.code, shelf.unchanged, shelf.own = before


def get(name: str, key: str) -> bytes | None:
    """What is kept by that key; None if nothing is, or nothing whole."""
    try:
        found = zlib.decompress(_path(name, key).read_bytes())
        if hashlib.sha256(found[_SUM:]).digest() != found[:_SUM]:
            raise ValueError("its sum is another")
        return found[_SUM:]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, zlib.error) as error:
        _tell("reading", name, error)
        return None


def put(name: str, key: str, content: bytes) -> None:
    """Keep that, if it can be done."""
    path = _path(name, key)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(zlib.compress(hashlib.sha256(content).digest() + content, 1))
        os.replace(temporary, path)
    except OSError as error:
        _tell("writing", name, error)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def without_jax_cache() -> Iterator[None]:
    """JAX compiles anew: what it has read from its own cache can't be written once more."""
    before = getattr(jax.config, _ENABLED)
    jax.config.update(_ENABLED, False)
    reset_cache()  # JAX looks at its settings once
    try:
        yield
    finally:
        jax.config.update(_ENABLED, before)
        reset_cache()


def _path(name: str, key: str) -> Path:
    assert shelf.folder is not None
    return shelf.folder / f"{name}-{key}-cache"


def _tell(does: str, name: str, error: Exception) -> None:
    what = f"Error {does} persistent compilation cache entry for '{name}'"
    warnings.warn(f"{what}: {type(error).__name__}: {error}", stacklevel=2)
