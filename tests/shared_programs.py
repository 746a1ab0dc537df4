"""Programs that the tests have compiled, for the next run of them (`make test CACHE=1`).

The tests make eleven thousand programs, most of them tiny, and XLA takes 10 ms for the smallest:
each is kept in a folder, and read there in 2 ms. JAX's own cache would do that too, but its
settings are what some tests are about, and its files are not written whole. Within one run nothing
is kept: to write all programs takes longer than to make anew the few that come again.
"""

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jaxlib
from jax._src import compiler

FOLDER = "FAFLOW_TEST_PROGRAMS"  # where the shell names it
LARGEST = 2**31  # bytes that are kept for the next run


def install() -> None:
    """What is compiled in this process from now on is looked for in the folder, and kept there."""
    if FOLDER not in os.environ:
        return
    folder, compile_anew = Path(os.environ[FOLDER]), compiler.backend_compile_and_load
    folder.mkdir(parents=True, exist_ok=True)
    if "PYTEST_XDIST_WORKER" not in os.environ:  # workers begin when the process that has them did
        forget(folder, LARGEST)
    surroundings = repr((jaxlib.__version__, os.environ.get("XLA_FLAGS"))).encode()

    def found(backend: Any, module: Any, devices: Any, options: Any, callbacks: Any) -> Any:
        text = module.operation.get_asm(binary=True)
        if callbacks or b"callback" in text or _is_written_elsewhere():
            return compile_anew(backend, module, devices, options, callbacks)
        about = options.SerializeAsString() + repr(list(devices)).encode() + surroundings
        path = folder / hashlib.sha256(text + about).hexdigest()
        with suppress(Exception):  # there is none, or it is damaged
            content = path.read_bytes()
            if hashlib.sha256(content[32:]).digest() == content[:32]:
                os.utime(path)
                return backend.deserialize_executable(content[32:], devices, options)
        made = compile_anew(backend, module, devices, options, callbacks)
        temporary = folder / f"{uuid.uuid4().hex}.tmp"
        with suppress(OSError):  # nothing depends on it
            content = made.serialize()
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            temporary.replace(path)
        return made

    found.anew = compile_anew
    compiler.backend_compile_and_load = found


def forget(folder: Path, largest: int) -> None:
    """Remove those that no test has asked for for longest, until so many bytes are left; and what
    was not written whole. Another run may use the folder, and remove or replace some meanwhile."""
    for path in folder.glob("*.tmp"):
        path.unlink(missing_ok=True)
    about = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            about.append((path.stat(), path))
    about.sort(key=lambda one: one[0].st_mtime)
    size = sum(stat.st_size for stat, _ in about)
    for stat, path in about:
        if size <= largest:
            break
        path.unlink(missing_ok=True)
        size -= stat.st_size


def _is_written_elsewhere() -> bool:
    """Whether a program may go to a user's folder: one that was read can't be written once more."""
    from faflow._shelf import shelf

    return shelf.folder is not None or getattr(jax.config, "jax_enable_compilation_cache")  # noqa: B009
