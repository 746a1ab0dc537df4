"""A few directions of a Jacobian, kept from step to step, that precondition (1 - c J) x = b.

With rows U (k, n), orthonormal, their images J U, known by k products, and B = U - c J U,

    P^{-1} x = x + c (J U)^T (B B^T)^{-1} B x

takes B back to U and leaves alone what is orthogonal to B. So (1 - c J) P^{-1} is 1 on the span of
B and 1 - c J on its complement: for every c, whether or not U is invariant, and J symmetric
(minimal residuals over a recycled space: de Sturler 1996; Parks et al. 2006). With a J that has
moved since, it is so up to what J U has moved.

U is to hold the stiff directions: every renewal is a step of subspace iteration, U <- orth(J U),
from a block of random numbers (Halko, Martinsson & Tropp 2011). It takes k products, and is made
when as many have been spent on systems since the last one, beyond what they took just after it: a
renewal at most doubles what an all-knowing one would save. Where it does not help, the next one
waits twice as long.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Flag, Integer, Scalar

AIM = 3.0  # products per system that are not worth a renewal
FLOOR = 1e-4  # added to B B^T: rows of B are as short only where c times a rate is near 1
HELPED = 0.75  # share of the products before a renewal that are left after one that helped
AT_ONCE = 8  # products made together; a rank is a multiple


class Deflation(NamedTuple):
    """U and J U (k, n), if `known`, else U is random; whether they are `used`.

    `level`: products per system when they were `fresh`; `excess`: what systems took beyond that
    since; `before`, `bare`: products of the last system, and of the last one without them. They are
    renewed once `excess` is above `patience` times k.
    """

    basis: Array
    images: Array
    known: Flag
    used: Flag
    fresh: Flag
    level: Scalar
    excess: Scalar
    before: Scalar
    bare: Scalar
    patience: Scalar


def no_directions(rank: int, like: Array) -> Deflation:
    """No directions of states like this one."""
    one, no = jnp.ones((), like.dtype), jnp.asarray(False)
    block = _hashed(rank, like.size, like.dtype)
    return Deflation(block, 0 * block, no, no, no, AIM * one, 0 * one, one, one, one)


def is_worn(kept: Deflation) -> Flag:
    """Whether the products that a renewal takes have been spent for want of one."""
    return kept.excess > kept.patience * len(kept.basis)


def after_systems(kept: Deflation, effort: Scalar) -> Deflation:
    """After a step whose systems took `effort` products on average.

    Fresh directions that make more of them than there were without any are laid aside until they
    are renewed, which makes them better ones.
    """
    bare = jnp.where(kept.used, kept.bare, effort)
    missed = kept.fresh & (effort > HELPED * kept.before)
    patience = jnp.where(missed, 2 * kept.patience, jnp.where(kept.fresh, 1, kept.patience))
    level = jnp.where(kept.fresh, jnp.maximum(effort, AIM), kept.level)
    return kept._replace(
        used=kept.used & ~(kept.fresh & (effort > bare)),
        fresh=jnp.zeros_like(kept.fresh),
        bare=bare,
        level=level,
        excess=kept.excess + jnp.maximum(effort - level, 0),
        before=effort,
        patience=patience,
    )


def renewed(kept: Deflation, push: Callable[[Array], Array]) -> tuple[Deflation, Integer]:
    """Of the J that `push` multiplies by, and the products that it took: k, at first 2 k."""

    def images(rows: Array) -> Array:
        return jax.lax.map(push, rows, batch_size=AT_ONCE)

    def once_more(i: Integer, now: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, found = now
        basis = jax.lax.cond(i > 0, lambda: jnp.linalg.qr(found.T)[0].T, lambda: basis)
        return basis, images(basis)

    # A loop, so that J stands in the program once; what is unknown has no images to begin with.
    first, start = kept.known.astype(jnp.int32), (kept.basis, kept.images)
    basis, found = jax.lax.fori_loop(first, jnp.int32(2), once_more, start)
    # Rows that J takes to orthogonal ones, so that B B^T is not far from diagonal.
    turn = jnp.linalg.eigh(found @ found.T)[1].T
    basis, found = turn @ basis, turn @ found
    finite = jnp.all(jnp.isfinite(basis)) & jnp.all(jnp.isfinite(found))
    rank = len(basis)
    return kept._replace(
        basis=jnp.where(finite, basis, kept.basis),
        images=jnp.where(finite, found, kept.images),
        known=kept.known | finite,
        used=finite,
        fresh=jnp.ones_like(kept.fresh),
        excess=jnp.zeros_like(kept.excess),
    ), jnp.where(kept.known, rank, 2 * rank)


def deflating(kept: Deflation, c: Scalar) -> Callable[[Array], Array]:
    """x -> P^{-1} x; x itself where nothing is used."""
    basis, images = kept.basis, kept.images
    cross, squares = images @ basis.T, images @ images.T
    one = jnp.eye(len(basis), dtype=basis.dtype)
    gram = (1 + FLOOR) * one - c * (cross + cross.T) + c**2 * squares
    # Rows of B differ in length as the rates do.
    length = jnp.sqrt(jnp.diagonal(gram))
    even = gram / jnp.outer(length, length) + jnp.finfo(gram.dtype).eps ** 0.5 * one
    inverse = jnp.linalg.inv(even) / jnp.outer(length, length)
    use = kept.used & jnp.all(jnp.isfinite(inverse))

    def apply(x: Array) -> Array:
        return x + c * ((inverse @ (basis @ x - c * (images @ x))) @ images)

    return lambda x: jax.lax.cond(use, apply, lambda x: x, x)


def _hashed(rows: int, columns: int, dtype: Any) -> Array:
    """Numbers in [-1/2, 1/2) without order: bits of an integer hash, the same on every machine."""
    one, two = jnp.arange(rows, dtype=jnp.uint32), jnp.arange(columns, dtype=jnp.uint32)
    x = one[:, None] * np.uint32(0x9E3779B1) + two[None, :] * np.uint32(0x85EBCA6B)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return (x ^ (x >> np.uint32(16))).astype(dtype) / 2**32 - 0.5
