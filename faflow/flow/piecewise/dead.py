"""Samples whose signal has died below: pairs that have no say in who crosses or slides."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array
from ...networks import AbstractNetwork
from .pairs import Layout, Slopes


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
    above: Array,
    sliding: Array,
) -> Sides:
    """The sides with the pairs of dead samples settled: without biases h is 0 there for good,
    until a sliding pair below leaves upwards, and always where the sample itself is 0. A dead pair does not slide, and its gate is the
    one it would have then, which is what the delta of that pair below is made of.
    """
    weights, none = network.weights, jnp.zeros_like(above)
    if network.biases:
        return Sides(above, sliding, none, none)
    slope = jnp.where(above, slopes.above, slopes.below)
    gates = layout.split(jnp.where(sliding, 0.0, slope))
    gone = [jnp.all(inputs == 0, axis=1)]
    for gate in gates[:-1]:
        gone.append(gone[-1] | jnp.all(gate == 0, axis=1))
    shapes = zip(gone, layout.hidden, strict=True)
    dead = layout.join([jnp.broadcast_to(d[:, None], (d.size, n)) for d, n in shapes])

    def revive(_) -> tuple[Array, Array]:
        rising, found, torn = None, [], []
        parts = zip(layout.split(sliding), layout.split(above), gone, strict=True)
        for layer, (slides, high, is_gone) in enumerate(parts):
            start, mixed = slides.astype(weights[0].dtype), jnp.zeros_like(high)
            if rising is not None:
                h = rising @ weights[layer].T
                is_here = is_gone[:, None] & (h != 0)
                mixed = is_here & (rising @ jnp.abs(weights[layer]).T > 1.000001 * jnp.abs(h))
                high = jnp.where(is_here, h > 0, high)
                side = jnp.where(high, slopes.above, slopes.below)
                start = jnp.where(is_gone[:, None], side * h, start)
            found.append(high)
            torn.append(mixed)
            rising = start
        return layout.join(found), layout.join(torn)

    high, torn = jax.lax.cond(jnp.any(dead), revive, lambda _: (above, none), None)
    return Sides(high, sliding & ~dead, dead, torn)
