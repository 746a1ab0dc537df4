"""faflow: learning in continuous time.

Gradient flow, feedback alignment and their conservation laws in JAX. Nothing is imported before
it is used: `import faflow` is light and changes no setting of JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import flow
    from .cli.printing import Bar
    from .config.errors import ConfigError
    from .flow import FlowProblem, Numerics, integrate
    from .opened import open_shown as open
    from .runs.run import run
    from .store.result import Result
    from .sweeps.longer.extend import extend_stored as extend
    from .sweeps.plan import plan_of
    from .sweeps.sweep import run_sweep

__version__ = "0.1.0"

# Name -> (module, name there).
_DOORS = {
    "Bar": ("cli.printing", "Bar"),
    "ConfigError": ("config.errors", "ConfigError"),
    "FlowProblem": ("flow", "FlowProblem"),
    "Numerics": ("flow", "Numerics"),
    "Result": ("store.result", "Result"),
    "extend": ("sweeps.longer.extend", "extend_stored"),
    "integrate": ("flow", "integrate"),
    "open": ("opened", "open_shown"),
    "plan_of": ("sweeps.plan", "plan_of"),
    "run": ("runs.run", "run"),
    "run_sweep": ("sweeps.sweep", "run_sweep"),
}
__all__ = [
    "Bar",
    "ConfigError",
    "FlowProblem",
    "Numerics",
    "Result",
    "__version__",
    "extend",
    "flow",
    "integrate",
    "open",
    "plan_of",
    "run",
    "run_sweep",
]


def __getattr__(name: str) -> Any:
    if name == "flow":  # a room that can be called
        return importlib.import_module("faflow.flow")
    if name not in _DOORS:
        raise AttributeError(f"module 'faflow' has no attribute {name!r}")
    module, attribute = _DOORS[name]
    return getattr(importlib.import_module(f"faflow.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
