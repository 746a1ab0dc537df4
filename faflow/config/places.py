"""What a config says of places: data files and code of the user's own, relative to its folder.

A config that is stored elsewhere says them anew. Links are followed on both sides, since the system
takes `..` from where a link leads, not from where it lies.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .imports import is_installed, place_of

FILES = ("task.file", "init.file", "feedback.file")
KINDS = (
    "network.kind", "network.activation", "network.activation.kind", "init.kind", "task.kind",
    "task.loss", "rule.kind", "rule.modifiers.kind", "feedback.kind", "flow.solver",
    "observe.names",
)  # fmt: skip
_AXES = ("sweep.product.", "sweep.zip.")  # before the keys of a sweep's axes


def located(base: Path, file: str | os.PathLike[str]) -> Path:
    """Where a file is that a config in `base` names; `~` is the user's home."""
    return base / os.path.expanduser(file)


def moved(table: Mapping[str, Any], base: Path, into: Path) -> dict[str, Any]:
    """A config's tables from the folder `base` as they have to be in the folder `into`."""
    file = lambda text: _relative(located(base, text), into)  # noqa: E731
    return _with(table, file, lambda kind: _moved_kind(kind, base, into))


def placeless(table: Mapping[str, Any]) -> dict[str, Any]:
    """A config's tables without places: content counts, not where it lies."""
    return _with(table, lambda file: "", lambda kind: kind.rpartition("/")[2])


Change = Callable[[str], str]


def _with(value: Any, file: Change, kind: Change, path: str = "") -> Any:
    if isinstance(value, Mapping):
        return {
            key: _with(item, file, kind, f"{path}.{key}" if path else str(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_with(item, file, kind, path) for item in value]
    if not isinstance(value, str):
        return value
    for axes in _AXES:
        path = path.removeprefix(axes)
    if path in FILES:
        return file(value)
    return kind(value) if path in KINDS and ":" in value else value


def _moved_kind(kind: str, base: Path, into: Path) -> str:
    source, _, name = kind.rpartition(":")
    folder, module = place_of(source, base)
    if "/" not in source and not module.endswith(".py") and is_installed(module):
        return kind
    return f"{_relative(folder / module, into)}:{name}"


def _relative(file: Path, into: Path) -> str:
    """The file as seen from a folder; a link at its own end stays one."""
    real = os.path.join(os.path.realpath(file.parent), file.name)
    return os.path.relpath(real, os.path.realpath(into))
