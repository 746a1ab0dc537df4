"""What a compiled program is made of, told in one process such that another can compare it.

What can't be told from everything else (a function in a function, the user's own code, arrays where
no arrays are expected) is Unknown, rather than guessed: two programs that are told alike are taken
for the same, and a wrong number would come of it silently.
"""

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from functools import cache, partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import SingleDeviceSharding
from jax.tree_util import PyTreeDef

TRACED = ("jax", "jaxlib", "equinox", "diffrax", "lineax", "optimistix", "numpy")
PACKAGE = Path(__file__).resolve().parent
KNOWN = {"faflow", "builtins", "functools", "math", "operator", *TRACED}
SETTINGS = ("XLA", "JAX", "EQX", "OMP", "OPENBLAS", "MKL", "TF_", "TSL", "NPROC")
PLAIN = {type(None), bool, int, float, complex, str, bytes, type(...)}


class Unknown(Exception):
    """A value that can't be told from others in another process."""


def described(value: Any) -> Any:
    """What is equal for two values, of two processes, only if they are the same to whoever traces:
    plain values, and trees of them, by type and content, classes and functions by where they are
    found. Unknown for all others (arrays, functions in functions, the user's own code)."""
    if type(value) in PLAIN:
        return type(value).__name__, repr(value)
    if isinstance(value, PyTreeDef):
        node = value.node_data()
        if node is None:
            return "leaf"
        return *map(described, node), *map(described, value.children())
    if value is type(None):
        return "NoneType"
    if (place := _place(value)) is not None:
        return place
    if isinstance(value, np.dtype):
        return "dtype", value.str, repr(value)
    if isinstance(value, Enum):
        return (*map(described, (type(value), value.name, value.value)),)
    if type(value) is partial:
        return "partial", *map(described, (value.func, value.args, value.keywords))
    try:
        leaves, tree = jax.tree.flatten(value)
    except Exception as error:  # of whatever kind: there may be code of its own that does it
        raise Unknown(repr(value)) from error
    if tree.node_data() is None:
        raise Unknown(repr(value))
    return described(tree), *map(described, leaves)


def _place(value: Any) -> tuple[str, str] | None:
    """Where a class or function is found; None if it isn't found where it says."""
    module, name = (getattr(value, key, None) for key in ("__module__", "__qualname__"))
    if not (isinstance(module, str) and isinstance(name, str)):
        return None
    found: Any = sys.modules.get(module) if module.split(".")[0] in KNOWN else None
    for part in name.split("."):
        found = getattr(found, part, None)
    same = found is value or getattr(found, "__wrapped__", None) is value
    return (module, name) if same and value is not None else None


def of_array(array: Any) -> Any:
    """All that a program depends on of an array. Unknown if it is traced, or on several devices."""
    if isinstance(array, np.ndarray | np.generic):
        return "numpy", array.dtype.str, array.shape
    if isinstance(array, Tracer) or type(array.sharding) is not SingleDeviceSharding:
        raise Unknown("sharding")
    about = array.aval.weak_type, array.committed, array.sharding.memory_kind
    return "jax", str(array.dtype), array.shape, *about


def surroundings() -> Any:
    """What any program depends on beside faflow and what it is called with. Unknown but for one
    CPU as JAX's only device."""
    devices = jax.devices()
    if len(devices) != 1 or jax.process_count() != 1 or devices[0].platform != "cpu":
        raise Unknown("devices")
    if not jax.sharding.get_abstract_mesh().empty:
        raise Unknown("mesh")
    told = sorted((key, os.environ[key]) for key in os.environ if key.startswith(SETTINGS))
    values = sorted((key, repr(value)) for key, value in jax.config.values.items())
    return told, values, devices[0].client.platform_version, _machine(), _packages()


@cache
def _machine() -> Any:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    processor: Any = platform.processor()
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as told:
        kinds = re.compile(r"model name|flags|Features|CPU ")
        processor = sorted({line for line in told if kinds.match(line)})
    return platform.platform(), processor, os.cpu_count(), cores, sys.version, sys.flags.optimize


@cache
def code() -> str:
    """sha256 of all that faflow is written in."""
    found = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        place = str(file.relative_to(PACKAGE)).encode()
        found.update(place + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def changed_since(moment: float) -> bool:
    """Whether code may have been written, or put in place, after that moment: what a process has
    loaded may be another then."""
    files = [*_files(str(PACKAGE)), *_traced_files()]
    return any(max(about.st_mtime, about.st_ctime) >= moment for _, about in files)


@cache
def _packages() -> Any:
    """Versions, and of every file of those packages when and how long it was written: one may have
    been changed in place."""
    found: list[Any] = [(name, metadata.version(name)) for name in (*TRACED, "scipy")]
    found += sorted((path, about.st_size, about.st_mtime_ns) for path, about in _traced_files())
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _traced_files() -> Iterator[tuple[str, os.stat_result]]:
    for name in TRACED:
        spec = util.find_spec(name)
        for place in (spec and spec.submodule_search_locations) or ():
            yield from _files(place)


def _files(place: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from () if entry.name == "__pycache__" else _files(entry.path)
            elif entry.name.endswith((".py", ".so", ".pyd", ".dylib")):
                yield entry.path, entry.stat()
