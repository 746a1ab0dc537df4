"""The generator of random numbers, named: no setting of JAX's makes one seed another experiment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ._compiling import ONCE, compiled
from ._types import Array

IMPLEMENTATION = "threefry2x32"


def seeded(seed: int) -> Array:
    """The key of a seed in [0, 2^32): that of `jax.random.key` as JAX comes, whatever
    JAX_DEFAULT_PRNG_IMPL and JAX_RANDOM_SEED_OFFSET say."""
    words = np.array([0, seed], np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl=IMPLEMENTATION)


@contextmanager
def drawing() -> Iterator[None]:
    """Bits are drawn, and keys split, as JAX comes, whatever JAX_THREEFRY_PARTITIONABLE says."""
    with jax.threefry_partitionable(True):
        yield


@compiled(ONCE)
def normal(key: Array, shape: tuple[int, ...]) -> Array:
    """Numbers N(0, 1)."""
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
