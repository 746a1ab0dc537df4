"""Surfaces that coincide: samples whose inputs to a layer are parallel have one for each neuron.

Where a_{l-1} of one sample is c times that of another (both with a 1 at the end if there are
biases), h_p = c h_q for every neuron of layer l: the sets h_p = 0 and h_q = 0 are the same. Such
pairs cross, slide and leave together. For c > 0 their gates are equal, for c < 0 one opens as the
other closes.
"""

from typing import NamedTuple

import jax.numpy as jnp

from ..._types import Array
from .pairs import Layout, Slopes

PARALLEL = 1e-12  # sin^2 of the angle below which two inputs are parallel


def parallel(gram: Array) -> Array:
    """Who is parallel to whom, by the inner products <a, a'> + 1 (1 for a bias); 0 is to nobody."""
    size = jnp.diagonal(gram)
    product = size[:, None] * size[None, :]
    return (gram**2 >= (1 - PARALLEL) * product) & (product > 0)


def leaders(related: Array, size: Array) -> Array:
    """Who leads each one: the largest of those `related` to it, itself if there are none."""
    number = jnp.arange(size.size, dtype=jnp.int32)
    among = related | (number[:, None] == number[None, :])
    largest = jnp.max(jnp.where(among, size[None, :], -1.0), axis=1)
    first = among & (size[None, :] == largest[:, None])
    return jnp.min(jnp.where(first, number[None, :], size.size), axis=1)


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


def alone(pairs: int) -> Surfaces:
    return Surfaces(jnp.arange(pairs, dtype=jnp.int32), jnp.zeros(pairs, bool))


def surfaces_of(layout: Layout, inputs: list[Array], bias: float, on: tuple[Array, ...]):
    """The surfaces of the pairs that are `on` theirs, by layer (samples, n_l); `inputs` a_{l-1}."""
    leader, opposite, start = [], [], 0
    for a, here in zip(inputs, on, strict=True):
        gram = a @ a.T + bias
        first = leaders(parallel(gram), jnp.diagonal(gram))
        number = start + jnp.arange(here.size, dtype=jnp.int32).reshape(here.shape)
        together = here & here[first]
        away = jnp.take_along_axis(gram, first[:, None], axis=1) < 0
        leader.append(jnp.where(together, number[first], number))
        opposite.append(together & away)
        start += here.size
    return Surfaces(layout.join(leader), layout.join(opposite))


class Ties(NamedTuple):
    """Slots on one surface: `to` (slots, slots) has a one at the leader of each, `factor` (slots,)
    is its input over the leader's. (Products with `to` are fewer programs than indices.)"""

    to: Array
    factor: Array


def find_ties(gram: Array, neuron: Array, used: Array) -> Ties:
    """`gram`: inner products of the slots' inputs, each to its own layer."""
    same = (neuron[:, None] == neuron[None, :]) & used[:, None] & used[None, :]
    leader = leaders(same & parallel(gram), jnp.diagonal(gram))
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
