"""Weights that have given order parameters.

Gaussian inputs look the same in every direction, so any W with Q = W W^T and R = W W~^T stands for
all of them:  W = R T^+ W~ + S^{1/2} E,  S = Q - R T^+ R^T,  E (K, N) orthonormal rows, E W~^T = 0.
"""

import jax
import jax.numpy as jnp

from .._generator import drawing, seeded
from .._types import Array, Matrix
from ..networks.draws import frobenius
from .order_parameters import KnownTeacher, OrderParameters

# Singular values of W and W~ below this share of the largest are rounding. Directions of W that are
# kept have an error of 1e-16 over it.
_CUT = 1e-6


def frame_of(weights: Matrix, teacher: Matrix) -> Matrix:
    """E (K, N) of student `weights` (K, N) and `teacher` W~ (M, N), such that `weights_of` gives
    just these weights back: the polar factor of what lies outside the teacher's span, completed at
    random where that has not full rank. N >= K + M."""
    inverse = jnp.linalg.pinv(teacher, rtol=_CUT)

    def outside(rows: Matrix, *, also: Matrix) -> Matrix:
        for _ in range(2):  # twice is enough (Kahan-Parlett) to be orthogonal to rounding
            rows = rows - (rows @ inverse) @ teacher
            rows = rows - (rows @ also.T) @ also
        return rows

    left, sizes, right = jnp.linalg.svd(
        outside(weights, also=jnp.zeros_like(weights)), full_matrices=False
    )
    known = (sizes > _CUT * frobenius(weights))[:, None]
    with drawing():
        random = jax.random.normal(seeded(0), weights.shape, weights.dtype)
    more = outside(random, also=jnp.where(known, right, 0.0))
    # Rows wanted come last; columns that are not wanted must not come before them.
    fresh, _ = jnp.linalg.qr(jnp.where(known, 0.0, more)[::-1].T)
    return left @ jnp.where(known, right, fresh.T[::-1])


def weights_of(order: OrderParameters, teacher: KnownTeacher) -> Matrix:
    """W (K, N) with these order parameters; smooth while S > 0, S < 0 by rounding counts as 0."""
    along, apart = _split(order, teacher.t)
    return along @ teacher.weights + square_root(apart) @ teacher.frame


def embed(order: OrderParameters, teacher: KnownTeacher, inputs: int) -> tuple[Matrix, Matrix]:
    """(W, W~) with these order parameters and this T on any number of inputs N >= K + M."""
    along, apart = _split(order, teacher.t)
    root = square_root(teacher.t)
    weights = jnp.concatenate([along @ root, square_root(apart)], axis=1)
    return _widened(weights, inputs), _widened(root, inputs)


def _widened(matrix: Matrix, inputs: int) -> Matrix:
    return jnp.pad(matrix, ((0, 0), (0, inputs - matrix.shape[1])))


def _split(order: OrderParameters, t: Matrix) -> tuple[Matrix, Matrix]:
    """R T^+ (K, M) and S (K, K)."""
    along = order.r @ jnp.linalg.pinv(t, rtol=_CUT**2, hermitian=True)
    return along, order.q - along @ order.r.T


@jax.custom_jvp
def square_root(matrix: Matrix) -> Matrix:
    """S^{1/2} of a symmetric matrix, negative eigenvalues counted as 0.

    Its derivative solves X' X + X X' = S' (the eigenvectors' own would divide by differences of
    eigenvalues); 0 between directions where X is 0.
    """
    sizes, axes = _eigen(matrix)
    return (axes * sizes[None, :]) @ axes.T


@square_root.defjvp
def _square_root_jvp(primals: tuple[Matrix], tangents: tuple[Matrix]) -> tuple[Matrix, Matrix]:
    sizes, axes = _eigen(primals[0])
    sums = sizes[:, None] + sizes[None, :]
    turned = axes.T @ (0.5 * (tangents[0] + tangents[0].T)) @ axes
    moved = jnp.where(sums > 0, turned / jnp.where(sums > 0, sums, 1.0), 0.0)
    return (axes * sizes[None, :]) @ axes.T, axes @ moved @ axes.T


def _eigen(matrix: Matrix) -> tuple[Array, Matrix]:
    """Roots of the eigenvalues, and the eigenvectors."""
    values, axes = jnp.linalg.eigh(0.5 * (matrix + matrix.T))
    return jnp.sqrt(jnp.maximum(values, 0.0)), axes
