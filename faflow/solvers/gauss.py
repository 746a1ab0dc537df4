"""Gauss-Legendre collocation: implicit Runge-Kutta methods that keep quadratic laws to rounding.

s stages, order 2s (s = 1: implicit midpoint). b_i b_j = b_i a_ij + b_j a_ji (Hairer, Lubich &
Wanner 2006, IV.2.1), so every quadratic invariant of the flow is one of the step. Stages are solved
by fixed-point iteration until they stop moving; fixed steps only.
"""

from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._types import Array, PyTree
from .abstract import AbstractCountingSolver

ITERATIONS = 100
ROUNDING = 100  # units in the last place by which stages may still move when they are solved


def gauss_tableau(stages: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(A, b, c): c the roots of the shifted Legendre polynomial, A and b by collocation.

    sum_j a_ij c_j^k = c_i^{k+1} / (k+1) and sum_j b_j c_j^k = 1 / (k+1), k < stages.
    """
    nodes, weights = np.polynomial.legendre.leggauss(stages)
    c, b = (nodes + 1) / 2, weights / 2
    powers = np.arange(stages)
    vandermonde = c[:, None] ** powers[None, :]
    integrals = c[:, None] ** (powers + 1)[None, :] / (powers + 1)[None, :]
    return np.linalg.solve(vandermonde.T, integrals.T).T, b, c


class GaussLegendre(AbstractCountingSolver):
    """Gauss-Legendre with `stages` stages for fixed steps; order 2 * stages.

    `strict`: a step whose stages do not settle to rounding has failed. A kinked field may have no
    stages to find (they jump between two modes for ever); `strict = False` takes the last ones.
    """

    stages: int = eqx.field(static=True, default=1)
    strict: bool = eqx.field(static=True, default=True)
    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def order(self, terms) -> int:
        del terms
        return 2 * self.stages

    def init(self, terms, t0, t1, y0, args) -> Array:
        """The solver's state counts field evaluations."""
        del terms, t0, t1, y0, args
        return jnp.zeros((), jnp.int32)

    def evaluations(self, solver_state: Array) -> Array:
        return solver_state

    def after_rejection(self, before: Array, error: PyTree | None) -> Array:
        del error
        return before

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        del made_jump
        a, b, c = gauss_tableau(self.stages)
        flat, unravel = ravel_pytree(y0)
        dt = t1 - t0

        def slopes(increments: Array) -> Array:
            field = lambda time, shift: ravel_pytree(  # noqa: E731
                terms.vf(time, unravel(flat + shift), args)
            )[0]
            return jnp.stack([field(t0 + c[i] * dt, increments[i]) for i in range(self.stages)])

        def body(carry):
            increments, _, last, count = carry
            k = slopes(increments)
            new = dt * jnp.asarray(a, flat.dtype) @ k
            change = jnp.max(jnp.abs(new - increments))
            return new, k, (change, last[0]), count + 1

        def unfinished(carry):
            # Iterate until the change stops shrinking: rounding is reached, not a tolerance.
            _, _, (change, before), count = carry
            return (count < ITERATIONS) & (change > 0) & ((change < before) | (count < 3))

        huge = jnp.asarray(jnp.inf, flat.dtype)
        zero = jnp.zeros((self.stages, flat.size), flat.dtype)
        start = (zero, zero, (huge, huge), jnp.zeros((), jnp.int32))
        increments, k, (change, _), count = jax.lax.while_loop(unfinished, body, start)
        y1 = unravel(flat + dt * jnp.asarray(b, flat.dtype) @ k)
        size = 1 + jnp.max(jnp.abs(flat)) + jnp.max(jnp.abs(increments))
        converged = (not self.strict) | (change <= ROUNDING * jnp.finfo(flat.dtype).eps * size)
        result = diffrax.RESULTS.where(
            converged, diffrax.RESULTS.successful, diffrax.RESULTS.internal_error
        )
        evaluations: Any = solver_state + self.stages * count
        return y1, None, {"y0": y0, "y1": y1}, evaluations, result
