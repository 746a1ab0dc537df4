"""What XLA is asked for when it compiles programs for a CPU.

faflow's programs are many small kernels, and by default XLA takes some 20 ms for each, most of it
in emitters that make no measured difference to how fast a small field runs. Without them compiling
takes half as long; what runs only once is not optimised either, and takes a quarter.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Literal, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

F = TypeVar("F", bound=Callable[..., Any])
Donated = Literal["none", "all-except-first"]
Use = Literal["once", "loop", "long"]
ONCE: Use = "once"  # a program that is run a few times
LOOP: Use = "loop"  # one in which a flow spends its time
LONG: Use = "long"  # the same, where that is much at once, even if XLA_FLAGS ask for less

_LEVEL = "xla_backend_optimization_level"
_PLAIN = {"xla_cpu_use_fusion_emitters": False}
_SMALL = {_LEVEL: 0, "xla_cpu_parallel_codegen_split_count": 1}  # threads only cost time
_OPTIONS = {LOOP: _PLAIN, ONCE: _PLAIN | _SMALL, LONG: _PLAIN | {_LEVEL: 3}}


@cache
def options(use: Use) -> dict[str, bool | int] | None:
    """Options for `jax.jit`; None (the defaults) on accelerators, and where this version of XLA
    does not know them."""
    if jax.default_backend() != "cpu":
        return None
    found = _OPTIONS[use]
    try:
        jax.jit(lambda x: x, compiler_options=found).lower(np.zeros(())).compile()
    except Exception:  # of whatever kind, in another version
        return None
    return found


def compiled(use: Use) -> Callable[[F], F]:
    """`equinox.filter_jit` with the options of its use; within another program, part of that."""

    def decorate(function: F) -> F:
        @cache
        def jitted() -> Callable[..., Any]:
            return eqx.filter_jit(function, compiler_options=options(use))

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            # jnp.zeros: with nothing traced among the arguments it is still traced in there.
            leaves = [jnp.zeros(()), *jax.tree.leaves((arguments, named))]
            inside = any(isinstance(leaf, Tracer) for leaf in leaves)
            return (function if inside else jitted())(*arguments, **named)

        return cast(F, call)

    return decorate
