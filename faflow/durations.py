"""How long things took last time on this machine, kept in the cache folder.

Nothing depends on it: what can't be read was never there, what can't be written is not kept.
"""

import json
import math
import os
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .cache import cache_folder

FILE = "durations.json"
MOST = 1000  # names; those that were not heard of for longest are forgotten
Seconds = Mapping[str, float]  # by what was done


def last_time(name: str) -> dict[str, float]:
    """Seconds by what was done when `name` was run last; empty if nothing is known."""
    return _read().get(name, {})


def remember(name: str, seconds: Seconds) -> None:
    """That `name` took so long. Of two processes that write at once one may be forgotten. Where JAX
    is told to keep nothing on disk, neither is this."""
    jax = sys.modules.get("jax")
    if jax is not None and not jax.config.jax_enable_compilation_cache:
        return
    with suppress(OSError, RuntimeError, ValueError):
        known = {other: told for other, told in _read().items() if other != name}
        known[name] = {what: round(value, 2) for what, value in seconds.items()}
        recent = dict(list(known.items())[-MOST:])
        path = _path()
        temporary = path.with_name(f".{FILE}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            temporary.write_text(json.dumps(recent, indent=0), "utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _read() -> dict[str, dict[str, float]]:
    try:
        found = json.loads(_path().read_text("utf-8"))
    except (OSError, RuntimeError, ValueError, RecursionError):
        return {}
    found = found if isinstance(found, dict) else {}
    return {name: _sound(told) for name, told in found.items() if isinstance(told, dict)}


def _path() -> Path:
    return cache_folder() / FILE


def _sound(told: Mapping[str, object]) -> dict[str, float]:
    return {
        what: float(value)
        for what, value in told.items()
        if isinstance(value, int | float) and math.isfinite(value) and value >= 0
    }
