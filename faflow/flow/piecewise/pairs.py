"""Pairs (neuron, sample): the flat order of all hidden pre-activations, and what gates them."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._compiling import ONCE, compiled
from ..._types import Array
from ...networks import AbstractActivation, AbstractNetwork


class Slopes(NamedTuple):
    """phi(h) = below * h for h < 0 and above * h for h > 0."""

    below: float
    above: float


def slopes_of(activation: AbstractActivation) -> Slopes:
    """The two slopes of a piecewise-linear activation with one kink, at 0.

    Raises ValueError for any other activation.
    """
    with jax.ensure_compile_time_eval():
        at = jnp.asarray(np.array([-2.0, -1.0, 1.0, 2.0]), float)
        slope, value = map(np.asarray, _shown(activation, at))
    linear = np.array_equal(value, slope * np.asarray(at))
    if not (activation.kinked and linear and slope[0] == slope[1] and slope[2] == slope[3]):
        raise ValueError(
            "Exact integration needs a piecewise-linear activation with its kink at 0 (relu, "
            f"leaky-relu), but the activation is {type(activation).__name__}."
        )
    return Slopes(float(slope[1]), float(slope[2]))


@compiled(ONCE)
def _shown(activation: AbstractActivation, at: Array) -> tuple[Array, Array]:
    return activation.derivative(at), activation(at)


class Layout(eqx.Module):
    """Where pair p = (l, mu, j) lies: hidden layers first to last, samples, then neurons.

    `layer`, `sample`, `unit` (pairs,): the indices of every pair, with one more entry (-1, 0, 0)
    for the padding index p = pairs, which belongs to no layer.
    """

    samples: int = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)

    @property
    def pairs(self) -> int:
        return self.samples * sum(self.hidden)

    @property
    def layer(self) -> np.ndarray:
        per_layer = [np.full(self.samples * n, l) for l, n in enumerate(self.hidden)]
        return np.concatenate([*per_layer, [-1]]).astype(np.int32)

    @property
    def sample(self) -> np.ndarray:
        per_layer = [np.repeat(np.arange(self.samples), n) for n in self.hidden]
        return np.concatenate([*per_layer, [0]]).astype(np.int32)

    @property
    def unit(self) -> np.ndarray:
        per_layer = [np.tile(np.arange(n), self.samples) for n in self.hidden]
        return np.concatenate([*per_layer, [0]]).astype(np.int32)

    @property
    def neuron(self) -> np.ndarray:
        """A number for each neuron, the same for all samples."""
        return self.layer * max(self.hidden) + self.unit

    @property
    def rows(self) -> Array:
        """A number for each layer and sample of a pair (pairs,)."""
        return jnp.asarray((self.layer * self.samples + self.sample)[:-1])

    def split(self, flat: Array) -> tuple[Array, ...]:
        """(pairs,) to one (samples, n_l) per hidden layer."""
        ends = np.cumsum([self.samples * n for n in self.hidden])[:-1]
        parts = jnp.split(flat, ends)
        return tuple(
            part.reshape(self.samples, n) for part, n in zip(parts, self.hidden, strict=True)
        )

    def join(self, layers) -> Array:
        """One (samples, n_l) per hidden layer to (pairs,)."""
        return jnp.concatenate([layer.reshape(-1) for layer in layers])

    def one_hot(self, index: Array) -> tuple[Array, ...]:
        """Per hidden layer (slots, n_l): row q marks pair index[q]'s neuron, if it is there."""
        layer, unit = jnp.asarray(self.layer)[index], jnp.asarray(self.unit)[index]
        return tuple(
            ((layer == l)[:, None] & (unit[:, None] == jnp.arange(n, dtype=jnp.int32)[None, :]))
            for l, n in enumerate(self.hidden)
        )


def layout_of(network: AbstractNetwork, samples: int) -> Layout:
    return Layout(samples, tuple(weight.shape[0] for weight in network.weights[:-1]))
