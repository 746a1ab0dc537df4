"""Fields at many states, by one program for all that asks for them."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from .._compiling import LOOP, compiled
from .._types import Array
from .abstract import AbstractFields

BLOCK = 64  # states at once


def find_moves(fields: AbstractFields, states: np.ndarray, lessons: Any) -> np.ndarray:
    """(count, D): how each of the states (count, D) moves under its own one of the lessons
    (stacked)."""
    return np.concatenate(list(_blocks(fields, states, jax.device_get(lessons))))


def _blocks(fields: AbstractFields, states: np.ndarray, lessons: Any) -> Iterator[np.ndarray]:
    for start in range(0, len(states), BLOCK):
        count = min(BLOCK, len(states) - start)
        at = start + np.minimum(np.arange(BLOCK), count - 1)  # the last one fills the block
        given = jax.tree.map(lambda leaf, at=at: leaf[at], (states, lessons))
        yield np.asarray(_moves(fields, *jax.device_put(given)))[:count]


@compiled(LOOP)
def _moves(fields: AbstractFields, states: Array, lessons: Any) -> Array:
    return jax.vmap(fields)(states, lessons)
