"""Host-side helpers of this room: random streams, checks with one-line errors, lazy imports.

Tasks are drawn and prepared in numpy float64 whatever JAX's precision is, so that one seed means
the same data in float32 and in float64.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, PRNGKeyArray

from .._names import closest

Real = float | int
Key = PRNGKeyArray | int
HostMatrix = Float[np.ndarray, "_rows _columns"]
HostTargets = np.ndarray | Callable[[np.ndarray], np.ndarray]
Raw = tuple[np.ndarray, HostTargets] | tuple[Any, ...]  # a pair, or what `Drawn` has besides

Entry = TypeVar("Entry")


class Drawn(NamedTuple):
    """What a task draws: X (samples, ...) and Y, or a function of the prepared X.

    `weights` (samples,): sample weights. `tokens`: X stays whole numbers. `classes`: Y (samples,
    ...) are labels of so many classes, which become one-hot in a last axis. `labels`: whole numbers
    in Y are labels where the loss is the cross-entropy. `facts`: more numbers worth printing.
    `test`: how many of the samples, the last ones, are not learned from.
    """

    inputs: np.ndarray
    targets: HostTargets
    weights: np.ndarray | None = None
    tokens: bool = False
    classes: int | None = None
    labels: bool = False
    facts: Mapping[str, float | int | str] = {}
    test: int = 0


def generators(key: Key, count: int) -> list[np.random.Generator]:
    """`count` independent numpy streams from a JAX key or an integer seed >= 0."""
    seed = np.random.SeedSequence(_entropy(key))
    return [np.random.default_rng(child) for child in seed.spawn(count)]


def _entropy(key: Key) -> int | list[int]:
    if isinstance(key, int):
        if key < 0:
            raise ValueError(f"Argument `key` must be a seed >= 0, but is {key}.")
        return key
    typed = jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if typed else key
    return [int(word) for word in np.asarray(words).ravel()]


def lookup(argument: str, name: str, registry: Mapping[str, Entry]) -> Entry:
    """`registry[name]`, or a ValueError that lists the names and guesses the nearest."""
    if name not in registry:
        raise ValueError(f"Argument `{argument}` must be {one_of(name, registry)}.")
    return registry[name]


def one_of(name: str, names: Iterable[str]) -> str:
    """The end of an error message: the valid names, the wrong one, the nearest."""
    valid = list(names)
    close = closest(name, valid)
    guess = "" if close is None else f"; did you mean '{close}'?"
    return f"one of {', '.join(valid)}, but is '{name}'{guess}"


def positive(argument: str, value: int) -> int:
    """`value` if it is >= 1, else a ValueError."""
    if value < 1:
        raise ValueError(f"Argument `{argument}` must be >= 1, but is {value}.")
    return value


def non_negative(argument: str, value: Real) -> float:
    """`value` if it is >= 0 and finite, else a ValueError."""
    if not 0 <= value <= sys.float_info.max:
        raise ValueError(f"Argument `{argument}` must be finite and >= 0, but is {value}.")
    return float(value)


def real_array(argument: str, values: Any) -> np.ndarray:
    """`values` as float64; a ValueError for complex, object, text or non-finite entries, for rows
    of several lengths, and for what a transformation of JAX traces."""
    if isinstance(values, Tracer):
        raise ValueError(
            f"Argument `{argument}` must hold numbers to look at, but is traced (jit, vmap, grad); "
            "make the data before, and put arrays into them by equinox.tree_at."
        )
    try:
        array = np.asarray(values)
    except ValueError as error:  # of lists that are no table
        what = f"Argument `{argument}` must have rows of one length, but has not"
        raise ValueError(f"{what}; give an array.") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"Argument `{argument}` must hold real numbers, but has dtype {array.dtype}; "
            "convert it to float64 first."
        )
    array = array.astype(np.float64, copy=False)
    check_within(argument, array, sys.float_info.max)
    return array


def check_within(argument: str, array: np.ndarray, limit: float) -> None:
    """ValueError at the first entry that is NaN or larger than `limit` in size."""
    bad = np.argwhere(~(np.abs(array) <= limit))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        room = "" if limit == sys.float_info.max else f" of size at most {limit:.3g}"
        raise ValueError(
            f"Argument `{argument}` must hold finite numbers{room}, but is "
            f"{array[index]} at {list(index)} ({len(bad)} such entries); remove or replace them."
        )


def require(module: str, package: str) -> ModuleType:
    """Import `module` when it is first needed, naming the extra that brings it if it is absent."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        message = f"This task needs {package}; install it with: pip install 'faflow[data]'."
        raise ModuleNotFoundError(message, name=error.name) from None


def numerical_rank(singular: np.ndarray, shape: tuple[int, ...], eps: float = 2.0**-52) -> int:
    """How many singular values exceed max(shape) * eps * the largest (numpy's convention)."""
    largest = singular.max(initial=0.0)
    return int(np.sum(singular > max(shape) * eps * largest))
