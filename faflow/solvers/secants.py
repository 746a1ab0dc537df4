"""A low-rank model of a field's Jacobian, learnt from the evaluations that a solver makes anyway.

Each row of `moves` is a difference of two points, the same row of `changes` the field's difference;
across the span of the moves J is taken for zero (multi-secant quasi-Newton, Fang & Saad 2009).
Points of different stages and steps serve alike, since J varies slowly: what one step learns speeds
up the next. The weights of the secants in a point solve a least-squares problem, and are as good
from a sketch of its vectors, a random projection to a few times as many entries as there are
secants (Woodruff 2014, section 2): passes over whole vectors are what a cheap field cannot pay.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Flag, Integer, Scalar

RESOLVED = 30  # units in the last place that a move must span to tell anything
SKETCH = 127  # entries of a sketch; a prime, lest whole columns of a weight matrix be summed


class Secants(NamedTuple):
    """`changes` (m, n), sketches of the `moves` and `seen` changes (m, d), all over the length of
    the move's sketch; `gram` = moves moves^T, `cross` = moves seen^T (m, m).

    A ring: rows from `slot` on are overwritten next; empty rows are zero and do nothing.
    """

    changes: Array
    moves: Array
    seen: Array
    gram: Array
    cross: Array
    slot: Integer


def no_secants(memory: int, size: int, dtype: np.dtype) -> Secants:
    """An empty model: J = 0."""
    rows, square = jnp.zeros((memory, size), dtype), jnp.zeros((memory, memory), dtype)
    short = rows[:, :SKETCH]
    return Secants(rows, short, short, square, square, jnp.zeros((), jnp.int32))


def sketched(rows: Array) -> Array:
    """(r, n) to (r, d): blocks of d entries, summed with random signs; exact where n <= d."""
    count, size = rows.shape
    if size <= SKETCH:
        return rows
    blocks = -(-size // SKETCH)
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (blocks, 1)).astype(rows.dtype)
    padded = jnp.pad(rows, ((0, 0), (0, blocks * SKETCH - size)))
    return jnp.sum(padded.reshape(count, blocks, SKETCH) * signs[None], axis=1)


def refined(
    secants: Secants,
    move: Array,
    seen: Array,
    change: Array,
    fresh: Flag,
    size: Scalar,
    step: Scalar,
    tableau: np.ndarray,
    residual: Array,
) -> tuple[Secants, Array]:
    """The model with a new secant for each stage in place of its oldest, if `fresh`; and the
    weights q (s, m) of the changes in J D, D the Newton step by it: D_i - step sum_j tableau_ij
    J D_j = residual_i. The rows of the ring are a multiple of s.

    `move`, `seen`, `residual` (s, d) are sketches, `seen` that of `change` (s, n). A move too short
    against `size`, the norm of the points that differ by it, tells nothing and displaces nothing.
    """
    rows = move.shape[0]
    put, at, zero = jax.lax.dynamic_update_slice, secants.slot, jnp.zeros((), jnp.int32)
    block = lambda array: jax.lax.dynamic_slice_in_dim(array, at, rows)  # noqa: E731
    length = jnp.sqrt(jnp.sum(move * move, axis=1))
    tells = fresh & (length > RESOLVED * jnp.finfo(move.dtype).eps * size)
    scale = 1 / jnp.where(tells, length, 1)

    def placed(ring: Array, new: Array) -> Array:
        kept = jnp.where(tells[:, None], scale[:, None] * new, block(ring))
        return put(ring, kept, (at, zero))

    moves, all_seen = placed(secants.moves, move), placed(secants.seen, seen)
    move = block(moves)
    along = moves @ jnp.concatenate([move, block(all_seen), residual]).T
    here, there, right = along[:, :rows], along[:, rows : 2 * rows], along[:, 2 * rows :]
    gram = put(put(secants.gram, here, (zero, at)), here.T, (at, zero))
    cross = put(put(secants.cross, there, (zero, at)), (all_seen @ move.T).T, (at, zero))
    slot = jnp.where(jnp.any(tells), (at + rows) % moves.shape[0], at)
    known = Secants(placed(secants.changes, change), moves, all_seen, gram, cross, slot)
    return known, _weights(gram, cross, right, step, tableau)


def _weights(gram: Array, cross: Array, right: Array, step: Scalar, tableau: np.ndarray) -> Array:
    """q (s, m) of D_i = residual_i + step sum_j tableau_ij changes^T q_j, from
    gram q_i - step sum_j tableau_ij cross q_j = right_i = moves residual_i, right (m, s).

    One system of m for each eigenvalue of the tableau, one of a conjugate pair, damped: secants may
    be nearly parallel. The right side is eliminated as one more column, which takes no permutation.
    """
    values, vectors = np.linalg.eig(tableau)
    kept = np.imag(values) >= 0
    into = np.linalg.inv(vectors)[kept]
    back = vectors[:, kept] * np.where(np.imag(values[kept]) > 0, 2, 1)
    kind = jnp.complex128 if gram.dtype == jnp.float64 else jnp.complex64
    damp = 0.01 * np.finfo(gram.dtype).eps ** 0.5 * np.eye(len(gram), dtype=gram.dtype)
    shifts = step.astype(kind) * jnp.asarray(values[kept], kind)
    systems = (gram + damp).astype(kind)[None] - shifts[:, None, None] * cross.astype(kind)[None]
    turned = jnp.asarray(into, kind) @ right.T.astype(kind)
    factors = jax.lax.linalg.lu(jnp.concatenate([systems, turned[..., None]], axis=2))[0]
    z = jax.lax.linalg.triangular_solve(factors[..., :-1], factors[..., -1:], left_side=True)
    return (jnp.asarray(back, kind) @ z[..., 0]).real
