"""Surfaces that coincide: pairs of one neuron whose h are multiples of each other.

Samples whose inputs are parallel have one surface for each neuron of the first layer, and so do
pairs further up if the gradients of their h by the weights are parallel: inputs on one ray without
biases, duplicates, samples that one unit alone passes on. Where h_p = c h_q, such pairs cross,
slide and leave together. For c > 0 their gates are equal, for c < 0 one opens as the other closes.
"""

from typing import NamedTuple

import jax.numpy as jnp

from ...._types import Array
from ..pairs import Slopes

PARALLEL = 1e-12  # sin^2 of the angle below which two gradients are parallel


def leaders(gram: Array, neuron: Array, used: Array) -> Array:
    """The leader of each slot's surface: the one of the largest gradient among the slots that are
    `used`, have its `neuron` and are parallel to it. `gram`: inner products of the gradients."""
    number = jnp.arange(used.size, dtype=jnp.int32)
    size = jnp.diagonal(gram)
    product = size[:, None] * size[None, :]
    parallel = (gram**2 >= (1 - PARALLEL) * product) & (product > 0)
    among = (neuron[:, None] == neuron[None, :]) & used[:, None] & used[None, :] & parallel
    among = among | (number[:, None] == number[None, :])
    largest = jnp.max(jnp.where(among, size[None, :], -1.0), axis=1)
    first = among & (size[None, :] == largest[:, None])
    return jnp.min(jnp.where(first, number[None, :], used.size), axis=1)


class Surfaces(NamedTuple):
    """Per pair (pairs,): the `leader` of those on its surface, and whether it is on the `opposite`
    side of 0 from it."""

    leader: Array
    opposite: Array

    @property
    def leads(self) -> Array:
        return self.leader == jnp.arange(self.leader.size, dtype=self.leader.dtype)

    def whole(self, flags: Array) -> Array:
        """The flags, set for all pairs of a surface where they are for one."""
        return jnp.zeros_like(flags).at[self.leader].max(flags)[self.leader]

    def follow(self, above: Array, sliding: Array) -> tuple[Array, Array]:
        """The sides with all pairs where their leaders have them."""
        return above[self.leader] ^ self.opposite, sliding[self.leader]

    def throughout(self) -> "Surfaces":
        """Of two groupings, stacked, the pairs that are together in both."""
        leader, second = self.leader
        alike = self.opposite[0] == self.opposite[1] ^ self.opposite[1][leader]
        same = (second == second[leader]) & alike
        own = jnp.arange(leader.size, dtype=leader.dtype)
        return Surfaces(jnp.where(same, leader, own), same & self.opposite[0])


def alone(pairs: int) -> Surfaces:
    return Surfaces(jnp.arange(pairs, dtype=jnp.int32), jnp.zeros(pairs, bool))


def surfaces_of(pairs: int, index: Array, gram: Array, neuron: Array) -> Surfaces:
    """The surfaces of the pairs `index` (slots,), padded with `pairs`; others are alone."""
    leader = leaders(gram, neuron, index < pairs)
    away = jnp.take_along_axis(gram, leader[:, None], axis=1)[:, 0] < 0
    nobody = alone(pairs)
    return Surfaces(
        nobody.leader.at[index].set(index[leader], mode="drop"),
        nobody.opposite.at[index].set(away, mode="drop"),
    )


class Ties(NamedTuple):
    """Slots on one surface: `to` (slots, slots) has a one at the leader of each, `factor` (slots,)
    is its h over the leader's. (Products with `to` are fewer programs than indices.)"""

    to: Array
    factor: Array


def find_ties(gram: Array, neuron: Array, used: Array) -> Ties:
    """Who shares a surface; arguments as in `leaders`."""
    leader = leaders(gram, neuron, used)
    number = jnp.arange(used.size, dtype=jnp.int32)
    to = leader[:, None] == number[None, :]
    across, size = (
        jnp.sum(jnp.where(to, part, 0.0), axis=1)
        for part in (gram, jnp.diagonal(gram)[None, :] + jnp.zeros_like(gram))
    )
    lead = leader == number
    return Ties(to.astype(gram.dtype), jnp.where(lead, 1.0, across / jnp.where(lead, 1.0, size)))


class Shares(NamedTuple):
    """How one unknown M = sum_p c_p lambda_p per surface makes the averaged deltas of its slots,
    lambda_p = `offset` + `share` M, c_p being their factors; with the leader's gate gamma
    M = `rest` + `total` gamma, the same for all slots of a surface."""

    share: Array
    offset: Array
    total: Array
    rest: Array


def shares_of(ties: Ties, signal: Array, layer: Array, slopes: Slopes) -> Shares:
    """The averaged delta is gamma g_p for c_p > 0 and (below + above - gamma) g_p for c_p < 0.

    In the first layer M is all that counts, and the leader carries it. Above it every sample
    passes its own delta on, in proportion to its signal.
    """
    to, factor = ties
    away = factor < 0
    sign, both = jnp.where(away, -1.0, 1.0), slopes.below + slopes.above
    most = jnp.where(away, both * signal, 0.0)
    each = jnp.abs(factor) * signal
    parts = jnp.stack([each, factor * most, jnp.abs(each), jnp.ones_like(each)], axis=1)
    total, rest, size, number = (to @ (to.T @ parts)).T
    passed = (number > 1) & (layer > 0) & (jnp.abs(total) > 1e-9 * size)
    share = sign * signal / jnp.where(passed, total, 1.0)
    return Shares(
        jnp.where(passed, share, jnp.diagonal(to)),
        jnp.where(passed, most - share * rest, 0.0),
        total,
        rest,
    )
