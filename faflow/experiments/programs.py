"""JAX as a config wants it, with compiled programs kept on disk from one process to the next."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax


@contextmanager
def in_precision(precision: str) -> Iterator[None]:
    """JAX in float64 or float32 for as long as one config runs, compiled programs kept on disk."""
    wanted = {"jax_enable_x64": precision == "float64"}
    folder = _programs()
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None and folder is not None:
        wanted |= {
            "jax_compilation_cache_dir": str(folder),
            "jax_persistent_cache_min_compile_time_secs": 0.02,
        }
    before = {name: getattr(jax.config, name) for name in wanted}
    for name, value in wanted.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def _programs() -> Path | None:
    """The folder of compiled programs, where JAX finds its own by their content; None if there can
    be none. JAX_COMPILATION_CACHE_DIR names another, JAX_ENABLE_COMPILATION_CACHE=false none."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "faflow"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return None
    return folder if os.access(folder, os.W_OK) else None
