"""A low-rank model of a field's Jacobian, learnt from the evaluations that a solver makes anyway.

Each row of `moves` is a difference of two points, the same row of `changes` the field's difference;
across the span of the moves J is taken for zero (multi-secant quasi-Newton, Fang & Saad 2009).
Points of different stages and steps serve alike, since J varies slowly: what one step learns speeds
up the next.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Flag, Integer, Scalar

RESOLVED = 1000  # units in the last place that a move must span to tell anything


class Secants(NamedTuple):
    """`moves`, `changes` (m, n), `gram` = moves moves^T, `cross` = moves changes^T (m, m).

    A ring: rows from `slot` on are overwritten next; empty rows are zero and do nothing.
    """

    moves: Array
    changes: Array
    gram: Array
    cross: Array
    slot: Integer


def no_secants(memory: int, size: int, dtype) -> Secants:
    """An empty model: J = 0."""
    rows, square = jnp.zeros((memory, size), dtype), jnp.zeros((memory, memory), dtype)
    return Secants(rows, rows, square, square, jnp.zeros((), jnp.int32))


def refined(
    secants: Secants,
    move: Array,
    change: Array,
    fresh: Flag,
    size: Scalar,
    matrix: Array,
    residual: Array,
) -> tuple[Secants, Array]:
    """The model with rows move, change (s, n) in place of its oldest, if `fresh`; and the Newton
    step D (s, n) of D_i - sum_j matrix_ij J D_j = residual_i by it. The rows of the ring are a
    multiple of s.

    A move too short against `size`, the norm of the points that differ by it, tells nothing and
    displaces nothing. Every pass over the rows costs as much as a small field: two products.
    """
    rows = move.shape[0]
    put, at, zero = jax.lax.dynamic_update_slice, secants.slot, jnp.zeros((), jnp.int32)
    block = lambda array: jax.lax.dynamic_slice_in_dim(array, at, rows)  # noqa: E731
    short = RESOLVED * jnp.finfo(move.dtype).eps * size
    tells = (fresh & (jnp.sum(move * move, axis=1) > short**2))[:, None]
    move = jnp.where(tells, move, block(secants.moves))
    change = jnp.where(tells, change, block(secants.changes))
    moves = put(secants.moves, move, (at, zero))
    changes = put(secants.changes, change, (at, zero))
    along = jnp.concatenate([move, change, residual]) @ moves.T
    gram = put(put(secants.gram, along[:rows], (at, zero)), along[:rows].T, (zero, at))
    cross = put(secants.cross, along[rows : 2 * rows].T, (zero, at))
    cross = put(cross, move @ changes.T, (at, zero))
    slot = jnp.where(fresh, (at + rows) % moves.shape[0], at)
    q = _coefficients(gram, cross, along[2 * rows :], matrix)
    return Secants(moves, changes, gram, cross, slot), residual + matrix @ (q @ changes)


def _coefficients(gram: Array, cross: Array, right: Array, matrix: Array) -> Array:
    """q (s, m) of D_i = residual_i + sum_j matrix_ij changes^T q_j, from
    gram q_i - sum_j matrix_ij cross q_j = right_i = moves residual_i.

    Solved for moves of length 1, and damped: secants may be nearly parallel.
    """
    squares = jnp.diagonal(gram)
    scale = jnp.where(squares > 0, 1 / jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    both = jnp.outer(scale, scale)
    damp = 0.01 * jnp.finfo(gram.dtype).eps ** 0.5
    damped = both * gram + damp * np.eye(len(scale), dtype=gram.dtype)
    stages = len(right)
    identity = np.eye(stages, dtype=gram.dtype)
    system = jnp.kron(identity, damped) - jnp.kron(matrix, both * cross)
    q = jnp.linalg.solve(system, (right * scale[None, :]).reshape(-1))
    return q.reshape(right.shape) * scale[None, :]
