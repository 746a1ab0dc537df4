"""A low-rank model of a field's Jacobian, learnt from the evaluations that a solver makes anyway.

Each row of `moves` is a difference of two points over its length, the same row of `changes` the
field's difference over that length; across the span of the moves J is taken for zero (multi-secant
quasi-Newton, Fang & Saad 2009). Points of different stages and steps serve alike, since J varies
slowly: what one step learns speeds up the next.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Integer, Scalar

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


def learn(secants: Secants, move: Array, change: Array, size: Scalar) -> Secants:
    """Put in rows move, change (s, n) for the oldest; `size`: norm of the points that differ by
    them, against which a move too short to tell anything counts as none."""
    memory, rows = secants.moves.shape[0], move.shape[0]
    length = jnp.linalg.norm(move, axis=1, keepdims=True)
    tells = length > RESOLVED * jnp.finfo(move.dtype).eps * size
    scale = jnp.where(tells, 1 / jnp.where(tells, length, 1), 0)
    put = jax.lax.dynamic_update_slice
    at, zero = secants.slot, jnp.zeros((), jnp.int32)
    moves = put(secants.moves, scale * move, (at, zero))
    changes = put(secants.changes, scale * change, (at, zero))
    inner = (scale * move) @ moves.T
    cross = put(secants.cross, (scale * move) @ changes.T, (at, zero))
    return Secants(
        moves,
        changes,
        put(put(secants.gram, inner, (at, zero)), inner.T, (zero, at)),
        put(cross, moves @ (scale * change).T, (zero, at)),
        (at + rows) % memory,
    )


def newton_step(secants: Secants, matrix: Array, residual: Array) -> Array:
    """D (s, n) of D_i - sum_j matrix_ij J D_j = residual_i, J by the model.

    With D_i = residual_i + sum_j matrix_ij changes^T q_j, the coefficients q (s, m) solve
    gram q_i - sum_j matrix_ij cross q_j = moves residual_i.
    """
    stages, memory = residual.shape[0], secants.gram.shape[0]
    identity = np.eye(stages, dtype=residual.dtype)
    system = jnp.kron(identity, _damped(secants)) - jnp.kron(matrix, secants.cross)
    right = (residual @ secants.moves.T).reshape(-1)
    q = jnp.linalg.solve(system, right).reshape(stages, memory)
    return residual + matrix @ (q @ secants.changes)


def _damped(secants: Secants) -> Array:
    """The gram matrix of secants that may be nearly parallel, made safe to invert."""
    damp = 0.01 * jnp.finfo(secants.gram.dtype).eps ** 0.5
    return secants.gram + damp * jnp.eye(secants.gram.shape[0], dtype=secants.gram.dtype)
