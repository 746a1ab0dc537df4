"""Blocks in which weights pair up: two layers, two convolutions; skips, and chains of blocks."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "identity"]
Pooling = Literal["average", "max", "none"]


def identity(x: Array) -> Array:
    return x


def activation_of(given: Activation | Callable[[Array], Array]) -> Callable[[Array], Array]:
    return getattr(jax.nn, given) if isinstance(given, str) else given


class TwoLayers(eqx.Module):
    """U phi(V x + b): (inputs,) -> (outputs,), V = `first`, U = `second`, b if `bias`.

    `activation`: "relu", "gelu", "silu", "tanh" ..., "identity" for linear layers; or a function.
    """

    first: eqx.nn.Linear
    second: eqx.nn.Linear
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        *,
        key: Array,
        activation: Activation | Callable[[Array], Array] = "relu",
        bias: bool = False,
    ):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(inputs, hidden, use_bias=bias, key=one)
        self.second = eqx.nn.Linear(hidden, outputs, use_bias=False, key=two)
        self.activation = activation_of(activation)

    def __call__(self, x: Array) -> Array:
        return self.second(self.activation(self.first(x)))


class ConvolutionPair(eqx.Module):
    """conv2(pool(phi(conv1(image)))): (c0, height, width) -> (c2, ..., ...).

    `channels` = (c0, c1, c2); `kernel` and `stride` of both, without padding; `pooling` over
    windows of two.
    """

    conv1: eqx.nn.Conv2d
    conv2: eqx.nn.Conv2d
    pool: Callable[[Array], Array]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        channels: tuple[int, int, int],
        *,
        key: Array,
        kernel: int = 2,
        stride: int = 1,
        pooling: Pooling = "none",
        activation: Activation | Callable[[Array], Array] = "relu",
    ):
        (into, hidden, out), (one, two) = channels, jax.random.split(key)
        self.conv1 = eqx.nn.Conv2d(into, hidden, kernel, stride, use_bias=False, key=one)
        self.conv2 = eqx.nn.Conv2d(hidden, out, kernel, stride, use_bias=False, key=two)
        self.pool = {
            "average": eqx.nn.AvgPool2d(2, 2),
            "max": eqx.nn.MaxPool2d(2, 2),
            "none": eqx.nn.Identity(),
        }[pooling]
        self.activation = activation_of(activation)

    def __call__(self, image: Array) -> Array:
        return self.conv2(self.pool(self.activation(self.conv1(image))))


class Skip(eqx.Module):
    """x + g(x), g = `block`."""

    block: Callable[[Array], Array]

    def __call__(self, x: Array) -> Array:
        return x + self.block(x)


class Chain(eqx.Module):
    """`parts`, one after the other; the last one's output flat."""

    parts: list[Callable[[Array], Array]]

    def __call__(self, x: Array) -> Array:
        for part in self.parts:
            x = part(x)
        return jnp.ravel(x)
