"""The generator of random numbers, named: no setting of JAX's makes one seed another experiment."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ._compiling import ONCE, compiled, is_traced
from ._types import Array

IMPLEMENTATION = "threefry2x32"
_PARTITIONABLE = "jax_threefry_partitionable"
SHORTEST, LONGEST = 1024, 65_536  # of draws whose beginning is used


def seeded(seed: int) -> Array:
    """The key of a seed in [0, 2^32): that of `jax.random.key` as JAX comes, whatever
    JAX_DEFAULT_PRNG_IMPL and JAX_RANDOM_SEED_OFFSET say."""
    words = np.array([0, seed], np.uint32)
    # With its type given, an array is taken as it is: JAX would compile a program to copy it.
    return jax.random.wrap_key_data(jnp.asarray(words, np.uint32), impl=IMPLEMENTATION)


@contextmanager
def drawing() -> Iterator[None]:
    """Bits are drawn, and keys split, as JAX comes, whatever JAX_THREEFRY_PARTITIONABLE says."""
    with jax.threefry_partitionable(True):
        yield


def normal(key: Array, shape: tuple[int, ...]) -> Array | np.ndarray:
    """`jax.random.normal(key, shape)`, to the last bit or two, which XLA rounds as it is asked to
    compile. Outside of JAX's transformations, which would compile a program for every shape, it is
    the beginning of a longer draw: one program for all, so that all have the same bits."""
    size = math.prod(shape)
    prefixes = getattr(jax.config, _PARTITIONABLE)  # else a number depends on how many there are
    if is_traced(key) or not prefixes or size > LONGEST:
        return _normal(key, shape)
    length = SHORTEST
    while length < size:
        length *= 4
    return np.asarray(_normal(key, (length,)))[:size].reshape(shape)


def folded(key: Array, number: int) -> Array:
    """`jax.random.fold_in`, by one program for all numbers."""
    return _folded(key, np.uint32(number))


@compiled(ONCE)
def _folded(key: Array, number: Any) -> Array:
    return jax.random.fold_in(key, number)


@compiled(ONCE)
def _normal(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.normal(key, shape)


def in_float64() -> bool:
    """Whether JAX's numbers are float64."""
    return jnp.result_type(float) == jnp.float64


def drawn(draw: Callable[..., Any], *given: Any) -> Any:
    """draw(*given) with the arrays of `given`, and so what comes of it, in float64; that rounded to
    JAX's precision, so that a seed means the same in both. What is traced stays as it is."""
    if in_float64() or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(given)):
        with drawing():
            return draw(*given)
    with drawing(), jax.enable_x64(True):
        found = draw(*jax.tree.map(lambda leaf: _as(leaf, np.float32, np.float64), given))
    return jax.tree.map(lambda leaf: _as(leaf, np.float64, np.float32), found)


def _as(leaf: Any, old: type, new: type) -> Any:
    return leaf.astype(new) if getattr(leaf, "dtype", None) == old else leaf
