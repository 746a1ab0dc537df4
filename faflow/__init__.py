"""faflow: learning in continuous time.

Gradient flow, feedback alignment and their conservation laws in JAX. Nothing is imported before
it is used: `import faflow` is light and changes no setting of JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .experiments.errors import ConfigError
    from .experiments.run import run
    from .experiments.stored import Result
    from .experiments.sweep import plan_of, run_sweep
    from .experiments.sweep.stored import open_stored as open
    from .flow import FlowProblem, Numerics, integrate
    from .printing import Bar

__version__ = "0.1.0"

# Name -> (module, name there).
_DOORS = {
    "Bar": ("printing", "Bar"),
    "ConfigError": ("experiments.errors", "ConfigError"),
    "FlowProblem": ("flow", "FlowProblem"),
    "Numerics": ("flow", "Numerics"),
    "Result": ("experiments.stored", "Result"),
    "integrate": ("flow", "integrate"),
    "open": ("experiments.sweep.stored", "open_stored"),
    "plan_of": ("experiments.sweep", "plan_of"),
    "run": ("experiments.run", "run"),
    "run_sweep": ("experiments.sweep", "run_sweep"),
}
__all__ = [
    "Bar",
    "ConfigError",
    "FlowProblem",
    "Numerics",
    "Result",
    "__version__",
    "integrate",
    "open",
    "plan_of",
    "run",
    "run_sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(f"module 'faflow' has no attribute {name!r}")
    module, attribute = _DOORS[name]
    return getattr(importlib.import_module(f"faflow.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
