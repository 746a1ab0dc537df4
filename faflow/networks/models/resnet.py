"""A residual network of pre-activation blocks."""

from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "identity"]


class ResidualBlock(eqx.Module):
    """x + conv2(phi(conv1(phi(norm(x))))): the skip passes signals through, both ways.

    No norm stands between the two convolutions, so that what they keep of one another is kept.
    """

    norm: Callable[[Array], Array]
    conv1: eqx.nn.Conv2d
    conv2: eqx.nn.Conv2d
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        hidden: int,
        activation: Activation | Callable[[Array], Array],
        norm: bool,
        key: Array,
    ):
        first, second = jax.random.split(key)
        self.norm = eqx.nn.GroupNorm(1, channels) if norm else eqx.nn.Identity()
        self.conv1 = eqx.nn.Conv2d(channels, hidden, 3, padding=1, use_bias=False, key=first)
        self.conv2 = eqx.nn.Conv2d(hidden, channels, 3, padding=1, use_bias=False, key=second)
        self.activation = getattr(jax.nn, activation) if isinstance(activation, str) else activation

    def __call__(self, image: Array) -> Array:
        hidden = self.conv1(self.activation(self.norm(image)))
        return image + self.conv2(self.activation(hidden))


class ResNet(eqx.Module):
    """Image (channels, height, width) -> outputs (outputs,).

    A convolution to `channels` channels, `depth` blocks of `hidden` hidden channels, the mean over
    the image, a read-out. `norm`: a group norm over each sample before every block.
    """

    stem: eqx.nn.Conv2d
    blocks: list[ResidualBlock]
    readout: eqx.nn.Linear
    feedback_blocks: ClassVar[tuple[str, ...]] = ("stem", "blocks.*")

    def __init__(
        self,
        image: tuple[int, int, int],
        outputs: int,
        *,
        key: Array,
        channels: int = 8,
        hidden: int = 8,
        depth: int = 2,
        norm: bool = False,
        activation: Activation | Callable[[Array], Array] = "relu",
    ):
        first, *keys, last = jax.random.split(key, depth + 2)
        self.stem = eqx.nn.Conv2d(image[0], channels, 3, padding=1, use_bias=False, key=first)
        self.blocks = [ResidualBlock(channels, hidden, activation, norm, of) for of in keys]
        self.readout = eqx.nn.Linear(channels, outputs, use_bias=False, key=last)

    def __call__(self, image: Array) -> Array:
        image = self.stem(image)
        for block in self.blocks:
            image = block(image)
        return self.readout(jnp.mean(image, axis=(1, 2)))
