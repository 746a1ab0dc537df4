"""GMRES on flat vectors, inside a compiled program (Saad & Schultz 1986)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array, Flag, Integer, Scalar
from .vectors import norm

SHORT = 6  # products for which the basis has room at first
TRUSTED = 2  # cycles that a preconditioner may spend; those that follow are made without it

Operator = Callable[[Array], Array]


class Solved(NamedTuple):
    """`x`, whether ||b - A x|| <= tolerance, and the products with A that it took."""

    x: Array
    converged: Flag
    products: Integer


class _Arnoldi(NamedTuple):
    """A V_k = V_{k+1} H_k, with G H_k = R_k upper triangular and G ||b|| e_1 = g."""

    basis: Array  # (size + 1, n), rows orthonormal, zero where not yet reached
    rotation: Array  # G (size + 1, size + 1)
    upper: Array  # R, columns (size + 1, size), the identity where not yet reached
    k: Integer


def gmres(
    operator: Operator,
    b: Array,
    tolerance: Scalar,
    size: int = 20,
    cycles: int = 4,
    precondition: Operator | None = None,
) -> Solved:
    """x with ||b - A x||_2 <= tolerance, from x = 0, by cycles of at most `size` products.

    `precondition` P^{-1} stands on the right, A P^{-1} u = b with x = P^{-1} u: the residual is
    that of the system itself. A bad one costs TRUSTED cycles at most, on top of the others.
    """
    size = min(size, b.size)
    trusted = 0 if precondition is None else TRUSTED * size

    def unfinished(now: tuple[Solved, Array]) -> Flag:
        return ~now[0].converged & (now[0].products < size * cycles + trusted)

    def again(now: tuple[Solved, Array]) -> tuple[Solved, Array]:
        sofar, rest = now

        def back(u: Array) -> Array:
            if precondition is None:
                return u
            return jax.lax.cond(sofar.products < trusted, precondition, lambda u: u, u)

        found = _cycle(lambda u: operator(back(u)), rest, tolerance, size)
        spent = found.products + (~found.converged).astype(jnp.int32)
        x = back(found.x)
        # The residual is computed anew only if there is to be another cycle.
        rest = jax.lax.cond(found.converged, lambda: rest, lambda: rest - operator(x))
        return Solved(sofar.x + x, found.converged, sofar.products + spent), rest

    start = Solved(jnp.zeros_like(b), jnp.asarray(False), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(unfinished, again, (start, b))[0]


def _cycle(operator: Operator, b: Array, tolerance: Scalar, size: int) -> Solved:
    """One cycle. The residual's norm is known without x: it is the entry of g below R.

    Modified Gram-Schmidt would walk through the basis; classical Gram-Schmidt done twice is as
    stable and is two products with the whole of it.
    """
    length = norm(b)
    first = b / jnp.where(length > 0, length, 1)

    def residual(now: _Arnoldi) -> Scalar:
        return length * jnp.abs(now.rotation[now.k, 0])

    def extended(now: _Arnoldi) -> _Arnoldi:
        room = now.upper.shape[1]
        return jax.lax.while_loop(
            lambda now: (now.k < room) & (residual(now) > tolerance),
            lambda now: _extend(operator, now),
            now,
        )

    def solved(end: _Arnoldi) -> Solved:
        room = end.upper.shape[1]
        reached = jnp.arange(room, dtype=end.k.dtype) < end.k
        right = jnp.where(reached, length * end.rotation[:room, 0], 0)
        weights = jax.scipy.linalg.solve_triangular(end.upper[:room], right)
        return Solved(weights @ end.basis[:room], residual(end) <= tolerance, end.k)

    short = min(SHORT, size)
    end = extended(_begin(first, short))
    if short == size:
        return solved(end)
    # Every product passes over the whole basis: most systems need no more than a short one.
    return jax.lax.cond(
        residual(end) > tolerance,
        lambda: solved(extended(_widened(end, size))),
        lambda: solved(end),
    )


def _begin(first: Array, size: int) -> _Arnoldi:
    basis = jnp.zeros((size + 1, first.size), first.dtype).at[0].set(first)
    eye = jnp.eye(size + 1, dtype=first.dtype)
    return _Arnoldi(basis, eye, eye[:, :size], jnp.zeros((), jnp.int32))


def _widened(now: _Arnoldi, size: int) -> _Arnoldi:
    wide = _begin(now.basis[0], size)
    rows, columns = now.upper.shape
    return _Arnoldi(
        wide.basis.at[:rows].set(now.basis),
        wide.rotation.at[:rows, :rows].set(now.rotation),
        wide.upper.at[:rows, :columns].set(now.upper),
        now.k,
    )


def _extend(operator: Operator, now: _Arnoldi) -> _Arnoldi:
    k, basis = now.k, now.basis
    w = operator(basis[k])
    nothing = 10 * jnp.finfo(w.dtype).eps * norm(w)
    along = basis @ w
    w = w - along @ basis
    again = basis @ w
    w = w - again @ basis
    rest = norm(w)
    # Nothing is left but rounding: the space is invariant, and the solution lies in it.
    rest = jnp.where(rest > nothing, rest, 0)
    column = now.rotation @ (along + again).at[k + 1].set(rest)
    basis = basis.at[k + 1].set(w / jnp.where(rest > 0, rest, 1))
    rotation, column = _rotate(now.rotation, column, k, nothing)
    return _Arnoldi(basis, rotation, now.upper.at[:, k].set(column), k + 1)


def _rotate(rotation: Array, column: Array, k: Integer, nothing: Scalar) -> tuple[Array, Array]:
    """The Givens rotation of rows k, k + 1 that makes column[k + 1] zero.

    A column that is zero already (a singular matrix) reduces no residual: the rows change places,
    and an infinite pivot leaves its direction out.
    """
    top, low = column[k], column[k + 1]
    length = jnp.hypot(top, low)
    there = length > nothing
    safe = jnp.where(there, length, 1)
    c, s = jnp.where(there, top / safe, 0), jnp.where(there, low / safe, 1)
    upper, lower = rotation[k], rotation[k + 1]
    rotation = rotation.at[k].set(c * upper + s * lower).at[k + 1].set(c * lower - s * upper)
    pivot = jnp.where(there, length, jnp.asarray(jnp.inf, column.dtype))
    return rotation, column.at[k].set(pivot).at[k + 1].set(0)
