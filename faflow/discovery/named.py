"""How many of a block's laws have a name."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..observables import AbstractConservationLaw
from .block_fields import BlockFields, BlockLesson
from .lie import rank_of

APART = 1e-12  # of a law's gradient: what is smaller outside the block is none


def count_named(fields: BlockFields, laws: Iterable[AbstractConservationLaw]) -> int:
    """How many independent functions of the block alone these laws are, at a generic state."""
    rows = np.zeros((0, len(fields.counted)))
    rng = np.random.default_rng(5)
    flat = jnp.asarray(fields.random_states(rng, 1)[0])
    lesson = jax.tree.map(lambda leaf: leaf[0], fields.lessons(rng, (1,)))
    for law in laws:
        inside, outside = _slopes(fields, law, flat, lesson)
        sizes = np.linalg.norm(inside, axis=1)
        own = (sizes > 0) & (np.linalg.norm(outside, axis=1) <= APART * sizes)
        rows = np.vstack([rows, inside[own] / sizes[own, None]])
    return rank_of(np.linalg.svd(rows, compute_uv=False)).rank if len(rows) else 0


def _slopes(
    fields: BlockFields, law: AbstractConservationLaw, flat: Array, lesson: BlockLesson
) -> tuple[np.ndarray, np.ndarray]:
    """The law's gradients by the block's leaves and by those outside."""

    def values(inside: Array, others: Array) -> Array:
        some = lesson._replace(others=others)
        record = law(*fields.read(inside, some), fields.data(some))
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(record)])

    both = jax.jit(jax.jacrev(values, (0, 1)))(flat, lesson.others)
    return np.asarray(both[0]), np.asarray(both[1])
