"""The mode of a kinked flow: on which side of 0 every pair is, and who slides on it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array, Integer


class Mode(NamedTuple):
    """`above` (pairs,): the side of 0 a pair is on; `sliding` (pairs,): it is held on 0 instead.

    `slots`: the sliding pairs, padded with `pairs`; `place` (pairs,): the slot of each, padded
    with the number of slots; `held`: how many slide (more than slots: no room).
    """

    above: Array
    sliding: Array
    slots: Array
    place: Array
    held: Integer


def no_sliding(above: Array, slots: int) -> Mode:
    pairs, zero = above.size, jnp.zeros((), jnp.int32)
    empty, nowhere = jnp.full(slots, pairs, jnp.int32), jnp.full(pairs, slots, jnp.int32)
    return Mode(above, jnp.zeros(pairs, bool), empty, nowhere, zero)


def change(mode: Mode, above: Array, sliding: Array) -> Mode:
    """The mode with other sides and sliding pairs; pairs that go on sliding keep their order."""
    pairs, room = sliding.size, mode.slots.size

    def refill(_) -> tuple[Array, Array]:
        stays = jnp.append(sliding, False)[mode.slots]
        kept = jnp.sort(jnp.where(stays, mode.slots, pairs))
        fresh = first_of(sliding & (mode.place == room), room)
        slots = jnp.where(jnp.arange(room) < jnp.sum(stays), kept, jnp.roll(fresh, jnp.sum(stays)))
        places = jnp.arange(room, dtype=jnp.int32)
        return slots, jnp.full(pairs, room, jnp.int32).at[slots].set(places, mode="drop")

    changed = jnp.any(sliding != mode.sliding)
    slots, place = jax.lax.cond(changed, refill, lambda _: (mode.slots, mode.place), None)
    return Mode(above, sliding, slots, place, jnp.sum(sliding, dtype=jnp.int32))


def codes(mode: Mode) -> Array:
    """(pairs,) int8: -1 below, 0 sliding, 1 above."""
    side = jnp.where(mode.above, 1, -1)
    return jnp.where(mode.sliding, 0, side).astype(jnp.int8)


def first_index(flags: Array) -> Integer:
    """The first flag that is set, or their number. (XLA's argmax is ten times slower on CPUs.)"""
    index = jnp.arange(flags.size, dtype=jnp.int32)
    return jnp.min(jnp.where(flags, index, flags.size))


def first_of(flags: Array, room: int) -> Array:
    """The indices of the first `room` flags that are set, padded with their number."""

    def insert(carry):
        flags, slots, at = carry
        pair = first_index(flags)
        return flags.at[pair].set(False), slots.at[at].set(pair, mode="drop"), at + 1

    slots = jnp.full(room, flags.size, jnp.int32)
    some = (flags, slots, jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(lambda c: jnp.any(c[0]) & (c[2] < room), insert, some)[1]


def spread(mode: Mode, values: Array, fill) -> Array:
    """Values of the slots spread over all pairs, `fill` elsewhere."""
    return jnp.append(values, jnp.asarray(fill, values.dtype))[mode.place]
