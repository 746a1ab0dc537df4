"""Gauss-Legendre tableaus, and the polynomials through slopes at given nodes."""

import math

import jax.numpy as jnp
import numpy as np

from .._types import Array


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


def error_constant(stages: int) -> float:
    """s!^4 / ((2s + 1) (2s)!^3): the quadrature's error over h^{2s+1} y^{(2s+1)}."""
    double = math.factorial(2 * stages)
    return math.factorial(stages) ** 4 / ((2 * stages + 1) * double**3)


def lagrange_basis(points: Array, nodes: Array, known: Array) -> Array:
    """Lagrange's polynomials of the known nodes (n,) at points (p,): (p, n), 0 where unknown."""
    others = known[None, :] & ~np.eye(nodes.size, dtype=bool)
    apart = jnp.where(others, nodes[:, None] - nodes[None, :], 1)
    away = jnp.where(others[None], points[:, None, None] - nodes[None, None, :], 1)
    return jnp.where(known[None, :], jnp.prod(away / apart[None], axis=2), 0)


def top_difference(nodes: Array, values: Array) -> Array:
    """(d/dt)^{p-1} of the values (p, n) at nodes (p,): (p-1)! times their divided difference."""
    apart = nodes[:, None] - nodes[None, :] + jnp.eye(nodes.size, dtype=nodes.dtype)
    return math.factorial(nodes.size - 1) * (1 / jnp.prod(apart, axis=1)) @ values
