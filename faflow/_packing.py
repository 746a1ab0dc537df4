"""Trees of arrays as one vector per type.

XLA compiles a kernel of its own for every array that a loop writes, however small.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._types import Array, PyTree


class Place(NamedTuple):
    """Where an array lies in the vector of its type, and its shape."""

    type: str
    start: int
    shape: tuple[int, ...]


class Packed(NamedTuple):
    """`vectors`: one per type, perhaps with leading axes; `places`: the tree, with a `Place` for
    every array."""

    vectors: dict[str, Array]
    places: PyTree


def packed(tree: PyTree) -> Packed:
    """All arrays of a tree."""
    places = places_of(tree)
    parts: dict[str, list[Array]] = {}
    for leaf in jax.tree.leaves(tree):
        parts.setdefault(str(leaf.dtype), []).append(jnp.ravel(leaf))
    return Packed({kind: jnp.concatenate(some) for kind, some in parts.items()}, places)


def places_of(tree: PyTree) -> PyTree:
    """Where `packed` puts them; a tree of shapes will do."""
    ends: dict[str, int] = {}

    def place(leaf: Any) -> Place:
        kind = str(leaf.dtype)
        start = ends.get(kind, 0)
        ends[kind] = start + leaf.size
        return Place(kind, start, tuple(leaf.shape))

    return jax.tree.map(place, tree)


def unpacked(found: Packed) -> PyTree:
    """The tree again, with the vectors' leading axes."""

    def part(place: Place) -> Any:
        vector = found.vectors[place.type]
        some = vector[..., place.start : place.start + math.prod(place.shape)]
        return some.reshape((*vector.shape[:-1], *place.shape))

    return jax.tree.map(part, found.places, is_leaf=lambda one: isinstance(one, Place))


def unpacked_here(found: Packed) -> PyTree:
    """The same of vectors that are known: no program is made for it."""
    vectors = {kind: np.asarray(vector) for kind, vector in found.vectors.items()}
    return jax.device_put(unpacked(Packed(vectors, found.places)))
