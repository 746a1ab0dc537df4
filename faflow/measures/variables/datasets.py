"""xarray, loaded when it is first used.

It takes a fifth of the time that faflow takes to import, and is needed when a flow has ended and
its records are stored. Its names in annotations have to be strings, as of
`from __future__ import annotations`.
"""

import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING


def lazily(name: str) -> ModuleType:
    """The module of this name, whose code is run when one of its attributes is asked for."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    import xarray as xr
else:
    xr = lazily("xarray")
