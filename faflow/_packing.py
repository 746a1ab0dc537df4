"""Trees of arrays as one vector per type.

XLA compiles a kernel of its own for every array that a loop writes, however small.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._types import Array, PyTree


class Slot(NamedTuple):
    """Where an array lies in the vector of its type, and its shape."""

    type: str
    start: int
    shape: tuple[int, ...]


class Packed(NamedTuple):
    """`vectors`: one per type, perhaps with leading axes; `places`: the tree, with a `Slot` for
    every array."""

    vectors: Mapping[str, Any]
    places: PyTree


def in_vectors(tree: PyTree) -> Packed:
    """All arrays of a tree."""
    tree = jax.tree.map(jnp.asarray, tree)
    places = places_of(tree)
    parts: dict[str, list[Array]] = {}
    for leaf in jax.tree.leaves(tree):
        parts.setdefault(str(leaf.dtype), []).append(jnp.ravel(leaf))
    return Packed({kind: jnp.concatenate(some) for kind, some in parts.items()}, places)


def places_of(tree: PyTree) -> PyTree:
    """Where `in_vectors` puts them; a tree of shapes will do."""
    ends: dict[str, int] = {}

    def place(leaf: Any) -> Slot:
        kind = str(leaf.dtype)
        start = ends.get(kind, 0)
        ends[kind] = start + leaf.size
        return Slot(kind, start, tuple(leaf.shape))

    return jax.tree.map(place, tree)


def of_vectors(found: Packed) -> PyTree:
    """The tree again, with the vectors' leading axes."""

    def part(place: Slot) -> Any:
        vector = found.vectors[place.type]
        some = vector[..., place.start : place.start + math.prod(place.shape)]
        return some.reshape((*vector.shape[:-1], *place.shape))

    return jax.tree.map(part, found.places, is_leaf=lambda one: isinstance(one, Slot))


def unpacked_here(found: Packed) -> PyTree:
    """The same of vectors that are known: no program is made for it."""
    vectors = {kind: np.asarray(vector) for kind, vector in found.vectors.items()}
    return jax.device_put(of_vectors(Packed(vectors, found.places)))
