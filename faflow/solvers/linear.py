"""The linear systems of a stiff method, (1 - c J) x = b: factored, or by products alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .._types import Array, Scalar
from .gmres import gmres
from .newton import Field, LinearSolve

Jacobian = Callable[[Scalar, Array], Array]
Factor = tuple[Array, Array]
# Of the corrector's own tolerance. CVODE's 0.05 takes 10 to 40 % more evaluations and products to
# the same error of the weights.
INEXACT = 0.3


def columns(field: Field) -> Jacobian:
    """J (n, n) column by column: n products with the field's linearisation."""

    def jacobian(t: Scalar, y: Array) -> Array:
        _, push = jax.linearize(lambda y: field(t, y), y)
        return jax.vmap(push, out_axes=1)(jnp.eye(y.size, dtype=y.dtype))

    return jacobian


lu_factor = jax.scipy.linalg.lu_factor


def factor(jacobian: Array, c: Scalar) -> Factor:
    """LU of 1 - c J."""
    return jax.scipy.linalg.lu_factor(jnp.eye(len(jacobian), dtype=jacobian.dtype) - c * jacobian)


def factored_solve(factor: Factor, ratio: Scalar) -> LinearSolve:
    """Solves with the factor of 1 - c_old J; `ratio` = c / c_old.

    In the stiff directions, where c J is large, the answer of the old factor is too large by
    `ratio`, elsewhere it is right: 2 / (1 + ratio) halves the worse of the two errors.
    """

    def solve(b: Array, scale: Array, tolerance: Scalar):
        del scale, tolerance
        x = jax.scipy.linalg.lu_solve(factor, b) * (2 / (1 + ratio))
        return x, jnp.asarray(True), jnp.zeros((), jnp.int32)

    return solve


def gmres_solve(
    push: Callable[[Array], Array],
    c: Scalar,
    precondition: Callable[[Array], Array] | None = None,
) -> LinearSolve:
    """Solves by GMRES in the variables x / scale, whose 2-norm is the step's norm times sqrt n.

    `precondition` P^{-1}: of 1 - c J. It costs products if it is a bad one, and no accuracy.
    """

    def solve(b: Array, scale: Array, tolerance: Scalar):
        def operator(u: Array) -> Array:
            return u - c * push(u * scale) / scale

        limit, before = INEXACT * tolerance * b.size**0.5, None
        if (inverse := precondition) is not None:
            before = lambda u: inverse(u * scale) / scale  # noqa: E731
        found = gmres(operator, b / scale, limit, precondition=before)
        return found.x * scale, found.converged, found.products

    return solve
