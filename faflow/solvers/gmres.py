"""GMRES on flat vectors, inside a compiled program (Saad & Schultz 1986)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array, Flag, Integer, Scalar
from .vectors import norm

SHORT = 6  # products, which most systems do not exceed

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
    operator: Operator, b: Array, tolerance: Scalar, size: int = 20, cycles: int = 4
) -> Solved:
    """x with ||b - A x||_2 <= tolerance, from x = 0, by cycles of at most `size` products."""
    size = min(size, b.size)

    def unfinished(now: tuple[Solved, Array, Integer]) -> Flag:
        return ~now[0].converged & (now[2] < cycles)

    def again(now: tuple[Solved, Array, Integer]) -> tuple[Solved, Array, Integer]:
        sofar, rest, cycle = now
        found, rest = _cycle(operator, rest, tolerance, size)
        products = sofar.products + found.products
        return Solved(sofar.x + found.x, found.converged, products), rest, cycle + 1

    zero = jnp.zeros((), jnp.int32)
    start = Solved(jnp.zeros_like(b), jnp.asarray(False), zero)
    return jax.lax.while_loop(unfinished, again, (start, b, zero))[0]


def _cycle(operator: Operator, b: Array, tolerance: Scalar, size: int) -> tuple[Solved, Array]:
    """One cycle, and the residual it leaves. Its norm is known without x: it is the entry of g
    below R; and the residual without a product: that entry times G^T e_{k+1}, in the basis."""
    length = norm(b)
    first = b / jnp.where(length > 0, length, 1)

    def residual(now: _Arnoldi) -> Scalar:
        return length * now.rotation[now.k, 0]

    end = jax.lax.while_loop(
        lambda now: (now.k < size) & (jnp.abs(residual(now)) > tolerance),
        lambda now: _extend(operator, now),
        _begin(first, size),
    )
    reached = jnp.arange(size, dtype=end.k.dtype) < end.k
    right = jnp.where(reached, length * end.rotation[:size, 0], 0)
    weights = jax.scipy.linalg.solve_triangular(end.upper[:size], right)
    rest = residual(end) * end.rotation[end.k]
    # One pass over the basis for both.
    both = jnp.stack([jnp.append(weights, 0), rest]) @ end.basis
    return Solved(both[0], jnp.abs(residual(end)) <= tolerance, end.k), both[1]


def _begin(first: Array, size: int) -> _Arnoldi:
    basis = jnp.zeros((size + 1, first.size), first.dtype).at[0].set(first)
    eye = jnp.eye(size + 1, dtype=first.dtype)
    return _Arnoldi(basis, eye, eye[:, :size], jnp.zeros((), jnp.int32))


def _extend(operator: Operator, now: _Arnoldi) -> _Arnoldi:
    k, basis = now.k, now.basis
    w = operator(basis[k])
    nothing = 10 * jnp.finfo(w.dtype).eps * norm(w)
    # Every product passes over the basis four times: while it is short, over its first rows alone.
    few = min(SHORT + 1, len(basis))
    along, w = jax.lax.cond(
        k < few,
        lambda: _orthogonal(basis[:few], w, len(basis)),
        lambda: _orthogonal(basis, w, len(basis)),
    )
    rest = norm(w)
    # Nothing is left but rounding: the space is invariant, and the solution lies in it.
    rest = jnp.where(rest > nothing, rest, 0)
    column = now.rotation @ along.at[k + 1].set(rest)
    basis = basis.at[k + 1].set(w / jnp.where(rest > 0, rest, 1))
    rotation, column = _rotate(now.rotation, column, k, nothing)
    return _Arnoldi(basis, rotation, now.upper.at[:, k].set(column), k + 1)


def _orthogonal(basis: Array, w: Array, room: int) -> tuple[Array, Array]:
    """w's parts along the basis (room,), and what is across it.

    Modified Gram-Schmidt would walk through the basis; classical Gram-Schmidt done twice is as
    stable and is two products with the whole of it.
    """
    along = basis @ w
    w = w - along @ basis
    again = basis @ w
    return jnp.pad(along + again, (0, room - len(basis))), w - again @ basis


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
