"""Programs that one test has compiled, for all others of the same run.

The tests make eleven thousand programs, most of them tiny, and XLA takes 12 ms for the smallest.
Many are the same ones, in two workers or again where JAX was made to forget: each is kept in a
folder, and read there in 2 ms. JAX's own cache would do that too, but its settings are what some
tests are about, and its files are not written whole.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

import jax
import jaxlib
from jax._src import compiler

FOLDER = "FAFLOW_TEST_PROGRAMS"  # kept from one run to the next where the shell names it


def install() -> None:
    """What is compiled in this process from now on is looked for in the folder, and kept there."""
    if FOLDER not in os.environ:  # workers inherit it
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="faflow-tests-")
        atexit.register(_remove, os.environ[FOLDER], os.getpid())
    folder, compile_anew = Path(os.environ[FOLDER]), compiler.backend_compile_and_load
    folder.mkdir(parents=True, exist_ok=True)
    surroundings = repr((jaxlib.__version__, os.environ.get("XLA_FLAGS"))).encode()

    def found(backend: Any, module: Any, devices: Any, options: Any, callbacks: Any) -> Any:
        text = module.operation.get_asm(binary=True)
        if callbacks or b"callback" in text or _is_written_elsewhere():
            return compile_anew(backend, module, devices, options, callbacks)
        about = options.SerializeAsString() + repr(list(devices)).encode() + surroundings
        path = folder / hashlib.sha256(text + about).hexdigest()
        if path.exists():
            return backend.deserialize_executable(path.read_bytes(), devices, options)
        made = compile_anew(backend, module, devices, options, callbacks)
        temporary = folder / f"{uuid.uuid4().hex}.tmp"
        temporary.write_bytes(made.serialize())
        temporary.replace(path)
        return made

    compiler.backend_compile_and_load = found


def _remove(folder: str, made_by: int) -> None:
    if os.getpid() == made_by:  # and no child that was forked
        shutil.rmtree(folder, ignore_errors=True)


def _is_written_elsewhere() -> bool:
    """Whether a program may go to a user's folder: one that was read can't be written once more."""
    from faflow._shelf import shelf

    return shelf.folder is not None or getattr(jax.config, "jax_enable_compilation_cache")  # noqa: B009
