"""What XLA is asked for when it compiles programs for a CPU.

faflow's programs are many small kernels, and by default XLA takes some 20 ms for each, most of it
in emitters that make no measured difference to how fast a small field runs. Without them compiling
takes half as long; what runs only once is not optimised either, and takes a quarter. With them the
elementwise operations on large arrays are vectorised: tanh takes a third of the time, in the same
bits.
"""

from collections.abc import Callable
from functools import cache, partial, wraps
from typing import Any, Literal, TypeVar, cast

import jax
import numpy as np
from jax.core import Tracer

from ._programs import Donated, Program

F = TypeVar("F", bound=Callable[..., Any])
Use = Literal["once", "loop", "long"]
ONCE: Use = "once"  # a program that is run a few times
LOOP: Use = "loop"  # one in which a flow spends its time
LONG: Use = "long"  # the same, where that is much at once, even if XLA_FLAGS ask for less

_LEVEL = "xla_backend_optimization_level"
_PLAIN = {"xla_cpu_use_fusion_emitters": False}
_SMALL = {_LEVEL: 0, "xla_cpu_parallel_codegen_split_count": 1}  # threads only cost time
_VECTORS = {"xla_cpu_use_fusion_emitters": True}
_OPTIONS = {LOOP: _PLAIN, ONCE: _PLAIN | _SMALL, LONG: _VECTORS | {_LEVEL: 3}}


@cache
def options(use: Use) -> dict[str, bool | int] | None:
    """Options for `jax.jit`; None (the defaults) on accelerators, and where this version of XLA
    does not know them."""
    if jax.default_backend() != "cpu":
        return None
    found = _OPTIONS[use]
    try:
        jax.jit(_asked, compiler_options=found).lower(np.zeros(())).compile()
    except Exception:  # of whatever kind, in another version
        return None
    return found


def _asked(x: Any) -> Any:
    return x


@cache
def program(function: Callable[..., Any], use: Use, donate: Donated = "none") -> Program:
    """A function of a module, compiled for that use whenever it is called with something new."""
    return uncached_program(function, use, donate)


def uncached_program(function: Callable[..., Any], use: Use, donate: Donated) -> Program:
    """The same of any function; compiled anew for each."""
    return Program(function, donate, _OPTIONS[use], partial(options, use))


def is_traced(values: Any) -> bool:
    """Whether these are traced, or this runs inside another program, if with nothing traced."""
    return is_inside() or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


def is_inside() -> bool:
    """Whether this runs inside another program: under `jax.vmap` alone it does not."""
    return isinstance(jax.device_put(np.zeros(())), Tracer)


def shapes(function: Callable[..., Any], *given: Any) -> Any:
    """`equinox.filter_eval_shape`: what a function of a module would return."""
    return program(function, ONCE).shapes(*given)


def compiled(use: Use) -> Callable[[F], F]:
    """`equinox.filter_jit` with the options of its use; within another program, part of that."""

    def decorate(function: F) -> F:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            inside = is_traced((arguments, named))
            return (function if inside else program(function, use))(*arguments, **named)

        return cast(F, call)

    return decorate
