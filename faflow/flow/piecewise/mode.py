"""The mode of a kinked flow: on which side of 0 every pair is, and who slides on it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array, Integer


class Mode(NamedTuple):
    """`above` (pairs,): the side of 0 a pair is on; `sliding` (pairs,): it is held on 0 instead.

    `slots`: the sliding pairs, padded with `pairs`; `held` of them (more than slots: no room).
    """

    above: Array
    sliding: Array
    slots: Array
    held: Integer


def no_sliding(above: Array, slots: int) -> Mode:
    pairs = above.size
    empty = jnp.full(slots, pairs, jnp.int32)
    return Mode(above, jnp.zeros(pairs, bool), empty, jnp.zeros((), jnp.int32))


def change(mode: Mode, above: Array, sliding: Array) -> Mode:
    """The mode with other sides and sliding pairs; pairs that go on sliding keep their order."""
    pairs, room = sliding.size, mode.slots.size

    def refill(_) -> Array:
        stays = jnp.append(sliding, False)[mode.slots]
        kept = jnp.sort(jnp.where(stays, mode.slots, pairs))
        fresh = sliding & ~on_pairs(kept, stays=True, pairs=pairs)
        count = jnp.sum(stays, dtype=jnp.int32)

        def insert(carry):
            fresh, slots, at = carry
            pair = jnp.argmax(fresh).astype(slots.dtype)
            return fresh.at[pair].set(False), slots.at[at].set(pair, mode="drop"), at + 1

        def some(carry):
            return jnp.any(carry[0]) & (carry[2] < room)

        return jax.lax.while_loop(some, insert, (fresh, kept, count))[1]

    changed = jnp.any(sliding != mode.sliding)
    slots = jax.lax.cond(changed, refill, lambda _: mode.slots, None)
    return Mode(above, sliding, slots, jnp.sum(sliding, dtype=jnp.int32))


def on_pairs(slots: Array, stays: bool, pairs: int) -> Array:
    """(pairs,) flags: `stays` at the pairs in the slots."""
    return jnp.zeros(pairs, bool).at[slots].set(stays, mode="drop")


def spread(mode: Mode, values: Array, fill) -> Array:
    """Values of the slots spread over all pairs, `fill` elsewhere."""
    full = jnp.full(mode.above.size, fill, values.dtype)
    return full.at[mode.slots].set(values, mode="drop")
