"""Sums of several arrays at once: XLA compiles a kernel of its own for each sum of one.

Small arrays are laid side by side, with zeros behind the shorter ones; of large ones a pass more
over their numbers would cost more than a kernel.
"""

from collections.abc import Sequence
from itertools import chain

import jax.numpy as jnp

from .._types import Array

SMALL = 2**16  # numbers, with the zeros


def side_by_side(arrays: Sequence[Array]) -> list[Array]:
    """The arrays as rows, with zeros behind the shorter ones: of one matrix, or of a matrix each
    if they are large."""
    flat = [jnp.ravel(array) for array in arrays]
    longest = max(len(one) for one in flat)
    if len(flat) * longest > SMALL:
        return [one[None] for one in flat]
    return [_filled(flat, longest)]


def each_sum(arrays: Sequence[Array]) -> Array:
    """(sum of the first, sum of the second, ...)."""
    return jnp.concatenate([jnp.sum(rows, axis=1) for rows in side_by_side(arrays)])


def _filled(rows: Sequence[Array], length: int) -> Array:
    """With zeros behind each, to this length."""
    zeros = [jnp.zeros(length - len(row), row.dtype) for row in rows]
    return jnp.concatenate([*chain(*zip(rows, zeros, strict=True))]).reshape(len(rows), length)
