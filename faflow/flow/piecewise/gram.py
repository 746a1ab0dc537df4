"""The linear system that holds sliding pairs on their surfaces.

On the sliding pairs A the unknowns are the averaged deltas lambda_A. Let r_k^p be the derivative
of h_p by the pre-activations h_k of its own sample (a backward sweep with the forward weights) and
delta_k^nu the rule's deltas of row nu: a sample, or a unit lambda_q (a backward sweep of the rule
from pair q). With <a, a> over the inputs of layer k (and 1 for a bias), the rate that row nu gives
to h_p is

    C_p,nu = - sum_k <r_k^p, delta_k^nu> (<a_{k-1}^p, a_{k-1}^nu> + 1),

so dh_p/dt = sum over samples C_p,mu + sum over A C_p,q lambda_q: two sweeps over |A| rows and a few
products with |A| rows, no linearisation, at any depth.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ..._types import Array
from ...networks import AbstractNetwork

RIDGE = 1e-11  # relative to the largest diagonal entry


def forward_rates(weights: AbstractNetwork, gates, marks) -> list[Array]:
    """r_k (slots, n_k), k = 1..L-1: the derivative of each slot's h by h_k of its sample."""
    rates = [marks[-1]]
    for layer in range(len(marks) - 2, -1, -1):
        rates.append(marks[layer] + gates[layer] * (rates[-1] @ weights.weights[layer + 1]))
    return rates[::-1]


def couplings(weights: AbstractNetwork, rates, inputs, rows: Array, deltas) -> Array:
    """C (slots, rows): the rate of the slots' pre-activations that each row of deltas gives.

    `inputs`: per layer the (rows, n_{k-1}) inputs that go with `deltas`; the slots' own are those
    of the `rows`.
    """
    total: Any = 0.0
    for rate, given, delta in zip(rates, inputs, deltas, strict=False):
        inner = given[rows] @ given.T + (1.0 if weights.biases else 0.0)
        total = total - (rate @ delta.T) * inner
    return total


def solve_ties(matrix: Array, wanted: Array, signal: Array, used: Array) -> Array:
    """matrix^-1 wanted; where surfaces coincide (samples whose inputs to a layer are parallel: h_p is
    a multiple of h_q), the shares go by the signals, so that all open and close together.

    A small ridge makes the matrix regular; two refinements take its effect away where it was. Of
    a block u u^T the solution with ridges r has lambda_p ~ u_p / r_p; equal gates lambda_p / g_p
    want r_p ~ |u_p / g_p|, u_p^2 = |G_pp|.
    """
    length = jnp.sqrt(jnp.abs(jnp.diagonal(matrix)))
    matrix = jnp.where(used[:, None] & used[None, :], matrix, jnp.eye(used.size))
    share = jnp.where(used & (length > 0), jnp.abs(signal) / jnp.where(used, length, 1.0), 0.0)
    share = jnp.where(used, share / jnp.maximum(jnp.max(share), 1e-300), 1.0)
    size = jnp.max(jnp.where(used, jnp.abs(jnp.diagonal(matrix)), 0.0))
    size = jnp.where(size > 0, size, 1.0)
    ridge = jnp.where(used, RIDGE * size / jnp.maximum(share, 1e-6), 0.0)
    factors = jax.scipy.linalg.lu_factor(matrix - jnp.diag(ridge))
    answer = jax.scipy.linalg.lu_solve(factors, wanted)
    for _ in range(2):
        answer = answer + jax.scipy.linalg.lu_solve(factors, wanted - matrix @ answer)
    return answer
