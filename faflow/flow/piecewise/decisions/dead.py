"""Samples whose signal has died below: pairs that have no say in who crosses or slides."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...._types import Array
from ....networks import AbstractNetwork
from ..pairs import Layout, Slopes


class Sides(NamedTuple):
    """`above`, `sliding` as in `Mode`. `dead`: pairs of samples whose signal has died below;
    `torn`: dead pairs that sliding pairs below pull to both sides, so that their gate is open."""

    above: Array
    sliding: Array
    dead: Array
    torn: Array


def settle_dead(
    layout: Layout,
    slopes: Slopes,
    network: AbstractNetwork,
    inputs: Array,
    near: Array,
    above: Array,
    sliding: Array,
) -> Sides:
    """The sides with the pairs of dead samples settled: without biases h is 0 there for good,
    until a sliding pair below leaves upwards, and always where the sample itself is 0. A dead pair
    does not slide, and its gate is the one it would have then, which is what the delta of that
    pair below is made of.

    With a slope below 0 a sample is dead for a moment, when all units of a layer are `near` 0:
    what is above goes to the side that they go to, and to both if they slide.
    """
    weights, none = network.weights, jnp.zeros_like(above)
    if network.biases:
        return Sides(above, sliding, none, none)
    slope = jnp.where(above, slopes.above, slopes.below)
    passes = layout.split(jnp.where(sliding, 0.0, slope))
    if slopes.below:
        passes = layout.split(jnp.where(near, 0.0, slope))
    gone = [jnp.all(inputs == 0, axis=1)]
    for gate in passes[:-1]:
        gone.append(gone[-1] | jnp.all(gate == 0, axis=1))
    shapes = zip(gone, layout.hidden, strict=True)
    dead = layout.join([jnp.broadcast_to(d[:, None], (d.size, n)) for d, n in shapes])

    def revive(_) -> tuple[Array, Array]:
        rising, found, torn = None, [], []
        slid = jnp.zeros(layout.samples, bool)
        parts = (layout.split(flags) for flags in (sliding, above))
        for layer, (slides, high, is_gone) in enumerate(zip(*parts, gone, strict=True)):
            start, mixed = slides.astype(weights[0].dtype), jnp.zeros_like(high)
            if slopes.below:
                start = jnp.where(slides, 1.0, jnp.where(high, slopes.above, -slopes.below))
            if rising is not None:
                h = rising @ weights[layer].T
                is_here = is_gone[:, None] & (h != 0)
                mixed = is_here & (rising @ jnp.abs(weights[layer]).T > 1.000001 * jnp.abs(h))
                if slopes.below:
                    mixed = is_here & slid[:, None]
                high = jnp.where(is_here, h > 0, high)
                side = jnp.where(high, slopes.above, slopes.below)
                start = jnp.where(is_gone[:, None], side * h, start)
            slid = slid | jnp.any(slides & ~is_gone[:, None], axis=1)
            found.append(high)
            torn.append(mixed)
            rising = start
        return layout.join(found), layout.join(torn)

    high, torn = jax.lax.cond(jnp.any(dead), revive, lambda _: (above, none), None)
    return Sides(high, sliding & ~dead, dead, torn)
