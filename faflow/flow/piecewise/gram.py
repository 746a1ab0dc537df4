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

RIDGE = 1e-11  # relative to the largest diagonal entry
PARALLEL = 1e-12  # sin^2 of the angle below which two surfaces are one


def forward_rates(weights: AbstractNetwork, gates, marks) -> list[Array]:
    """r_k (slots, n_k), k = 1..L-1: the derivative of each slot's h by h_k of its sample."""
    rates = [marks[-1]]
    for layer in range(len(marks) - 2, -1, -1):
        rates.append(marks[layer] + gates[layer] * (rates[-1] @ weights.weights[layer + 1]))
    return rates[::-1]


def couplings(weights: AbstractNetwork, rates, inputs, deltas) -> Array:
    """G (slots, slots): the rate of each slot's pre-activation that a unit of each one's averaged
    delta gives, which has these `deltas`. `inputs`: per layer the slots' (slots, n_{k-1})."""
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


def find_ties(matrix: Array, place: Array, used: Array) -> Array:
    """(slots, slots): who is tied to whom (and to oneself). Samples whose inputs to a neuron are
    parallel have the same surface (h_p is a multiple of h_q), so that their gates open and close
    together, and G is a block u u^T.

    `place`: the neuron of each slot.
    """
    size = jnp.abs(jnp.diagonal(matrix))
    parallel = matrix**2 >= (1 - PARALLEL) * size[:, None] * size[None, :]
    tied = (place[:, None] == place[None, :]) & used[:, None] & used[None, :]
    return (tied & parallel & (size > 0)[:, None]) | jnp.eye(used.size, dtype=bool)


class Ties(NamedTuple):
    """Slots whose surfaces coincide: `leader` (slots,) is the first of each slot's group; a slot's
    averaged delta is `share` times its leader's unknown. `total`: the unknown of an open gate;
    `weight`: how much of the leader's rate one unit of it takes away, over |G|."""

    leader: Array
    share: Array
    total: Array
    weight: Array


def tie(tied: Array, matrix: Array, signal: Array) -> Ties:
    """The groups, each slot's share being in proportion to its signal. A slot on its own has its
    averaged delta for its unknown."""
    size, slots = jnp.abs(jnp.diagonal(matrix)), signal.size
    alone = jnp.sum(tied, axis=1, dtype=jnp.int32) == 1
    largest = jnp.max(jnp.where(tied, jnp.abs(signal)[None, :], 0.0), axis=1)
    share = jnp.where(alone, 1.0, signal / jnp.where(largest > 0, largest, 1.0))
    taken = -jnp.sum(jnp.where(tied, matrix * share[None, :], 0.0), axis=1)
    weight = taken / jnp.where(size > 0, size, 1.0)
    number = jnp.arange(slots, dtype=jnp.int32)
    leader = jnp.min(jnp.where(tied, number[None, :], slots), axis=1)
    return Ties(leader, share, jnp.where(alone, signal, largest), weight[leader])


def solve_held(matrix: Array, wanted: Array, ties: Ties, used: Array) -> Array:
    """The leaders' unknowns x (slots, columns) with matrix (share x) = wanted.

    A small ridge makes the matrix regular; two refinements take its effect away where it was.
    """
    slots = jnp.arange(used.size, dtype=jnp.int32)
    leads = used & (ties.leader == slots)

    def gathered(_) -> Array:
        to = ties.leader[:, None] == slots[None, :]
        return matrix @ jnp.where(to, ties.share[:, None], 0.0)

    tied = jnp.any(used & ~leads)
    columns = jax.lax.cond(tied, gathered, lambda _: matrix, None)
    system = jnp.where(leads[:, None] & leads[None, :], columns, jnp.eye(used.size))
    size = jnp.max(jnp.where(leads, jnp.abs(jnp.diagonal(system)), 0.0))
    ridge = jnp.where(leads, RIDGE * jnp.where(size > 0, size, 1.0), 0.0)
    wanted = jnp.where(leads[:, None], wanted, 0.0)
    factors = jax.scipy.linalg.lu_factor(system - jnp.diag(ridge))
    answer = jax.scipy.linalg.lu_solve(factors, wanted)
    for _ in range(2):
        answer = answer + jax.scipy.linalg.lu_solve(factors, wanted - system @ answer)
    return answer
