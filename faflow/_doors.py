"""Names of a package that are imported when they are first asked for.

A package's `__init__` says them twice: in an import that only type checkers see, and in the table
of its doors. Nothing is imported then by who wants one module of many.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def doors(package: str, rooms: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package. `rooms`: module -> the names, with spaces between, that are
    there. A name must not be that of a module of the package, which stands in its place as soon as
    it is imported."""
    places = {name: room for room, names in rooms.items() for name in names.split()}

    def enter(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{places[name]}"), name)

    return enter


class CallableRoom(ModuleType):
    """A package that is also a function: `faflow.flow(...)`, which stands at the front door."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        room, name = self.__dict__["CALLED"]
        return getattr(importlib.import_module(room), name)(*args, **options)


def made_callable(package: str) -> None:
    """Let a package be called; its `CALLED` says which function that is: (module, name)."""
    sys.modules[package].__class__ = CallableRoom
