"""The linear system that holds sliding pairs on their surfaces.

On the sliding pairs A the unknowns are the averaged deltas lambda_A. Let r_k^p be the derivative
of h_p by the pre-activations h_k of its own sample (a backward sweep with the forward weights) and
delta_k^q the rule's deltas of a unit lambda_q (a backward sweep of the rule from pair q). With
<a, a> over the inputs of layer k (and 1 for a bias), and dW the samples' part of the field,

    dh_p/dt = sum_k <r_k^p, dW_k a_{k-1}^p> + sum over A G_pq lambda_q,
    G_pq = - sum_k <r_k^p, delta_k^q> (<a_{k-1}^p, a_{k-1}^q> + 1),

so two sweeps over |A| rows and a few products with |A| rows do, no linearisation, at any depth.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array
from ...networks import AbstractNetwork
from .decisions.ties import Ties

RIDGE = 1e-11  # relative to the largest diagonal entry


def forward_rates(weights: AbstractNetwork, gates, marks) -> list[Array]:
    """r_k (slots, n_k), k = 1..L-1: the derivative of each slot's h by h_k of its sample."""
    rates = [marks[-1]]
    for layer in range(len(marks) - 2, -1, -1):
        rates.append(marks[layer] + gates[layer] * (rates[-1] @ weights.weights[layer + 1]))
    return rates[::-1]


def couplings(weights: AbstractNetwork, rates, inputs, deltas) -> Array:
    """G (slots, slots): the rate of each slot's pre-activation that a unit of each one's averaged
    delta gives, which has these `deltas`. `inputs`: per layer the slots' (slots, n_{k-1}).

    With `rates` for deltas, minus the inner products of the gradients of the slots' h.
    """
    total: Any = 0.0
    for rate, a, delta in zip(rates, inputs, deltas, strict=True):
        inner = a @ a.T + (1.0 if weights.biases else 0.0)
        total = total - (rate @ delta.T) * inner
    return total


def pull(rates, inputs, move: AbstractNetwork) -> Array:
    """(slots,): the rate of each slot's pre-activation when the weights move by `move`."""
    total: Any = 0.0
    for layer, (rate, a) in enumerate(zip(rates, inputs, strict=True)):
        dh = a @ move.weights[layer].T
        if move.biases:
            dh = dh + move.biases[layer][None, :]
        total = total + jnp.sum(rate * dh, axis=1)
    return total


class Answer(NamedTuple):
    """`unknown` (slots, columns): of each slot's surface. `weight` (slots,): how much of its
    leader's rate one unit takes away, over |G|."""

    unknown: Array
    weight: Array


def solve_held(matrix: Array, wanted: Array, ties: Ties, share: Array, used: Array) -> Answer:
    """The leaders' unknowns x (slots, columns) with matrix (share x) = wanted.

    A small ridge makes the matrix regular; two refinements take its effect away where it was.
    """
    leads = used & (jnp.diagonal(ties.to) > 0)
    columns = matrix @ (ties.to * share[:, None])
    system = jnp.where(leads[:, None] & leads[None, :], columns, jnp.eye(used.size))
    size = jnp.max(jnp.where(leads, jnp.abs(jnp.diagonal(system)), 0.0))
    ridge = jnp.where(leads, RIDGE * jnp.where(size > 0, size, 1.0), 0.0)
    wanted = jnp.where(leads[:, None], wanted, 0.0)
    factors = jax.scipy.linalg.lu_factor(system - jnp.diag(ridge))

    def refined(_, answer: Array) -> Array:
        return answer + jax.scipy.linalg.lu_solve(factors, wanted - system @ answer)

    answer = jax.lax.fori_loop(0, 3, refined, jnp.zeros_like(wanted))
    own = jnp.abs(jnp.diagonal(matrix))
    weight = -jnp.diagonal(columns) / jnp.where(own > 0, own, 1.0)
    return Answer(ties.to @ answer, ties.to @ weight)
