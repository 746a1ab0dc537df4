"""Compiled programs, kept on disk from one process to the next.

JAX finds its programs by their content, so a flow of the same shapes with other numbers compiles
nothing. The user's settings come first: where JAX has a folder already, or is told to keep nothing
(JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE), nothing is changed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from ...cache import cache_folder as program_folder

SHORTEST = 0.02  # seconds of compiling that are worth a file
_ENABLED = "jax_enable_compilation_cache"
_FOLDER, _LEAST = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"


@contextmanager
def kept_programs() -> Iterator[None]:
    """What is compiled inside is kept in `program_folder`; JAX's settings are restored after it."""
    inside = _switch.enter()
    try:
        yield
    finally:
        if inside:
            _switch.leave()


def keeps_its_own() -> bool:
    """Whether JAX has been told already where, or that nowhere, to keep programs."""
    return getattr(jax.config, _FOLDER) is not None or not getattr(jax.config, _ENABLED)


class _Switch:
    """JAX's settings are the process's: the first who enters sets them, the last who leaves
    restores them, threads included."""

    def __init__(self):
        self._lock, self._inside, self._before = threading.Lock(), 0, {}

    def enter(self) -> bool:
        """Whether there is a `leave` to come."""
        with self._lock:
            if self._inside == 0:
                if keeps_its_own():
                    return False
                try:
                    folder = program_folder()
                except (OSError, RuntimeError):
                    return False
                self._before = {name: getattr(jax.config, name) for name in (_FOLDER, _LEAST)}
                _update({_FOLDER: str(folder), _LEAST: SHORTEST})
            self._inside += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _update(self._before)


def _update(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    reset_cache()  # JAX looks at its folder once


_switch = _Switch()
