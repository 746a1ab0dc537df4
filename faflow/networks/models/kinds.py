"""Blocks as models of their own: (samples' shape) -> (outputs,), to count what each conserves."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from .attention import Attention, Replaced
from .blocks import Activation, ConvolutionPair, Pooling, Skip, TwoLayers


class AttentionMean(eqx.Module):
    """The mean over tokens of attention to `outputs` numbers: (length, inputs) -> (outputs,).

    Options as `Attention`'s. A sum over tokens adds no law: each hears the same error, at inputs
    of its own.
    """

    attention: Attention

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        key: Array,
        each: int = 2,
        heads: int = 1,
        rotary: bool = False,
        causal: bool = False,
        replaced: Replaced = "none",
    ):
        self.attention = Attention(
            inputs, each, heads, key=key, rotary=rotary, causal=causal, outputs=outputs,
            replaced=replaced,
        )  # fmt: skip

    def __call__(self, x: Array) -> Array:
        return jnp.mean(self.attention(x), axis=0)


class ConvolutionBlock(eqx.Module):
    """The mean over places of a pair of convolutions: image (c0, height, width) -> (outputs,).

    `hidden` channels between; the other options as `ConvolutionPair`'s.
    """

    pair: ConvolutionPair

    def __init__(
        self,
        image: tuple[int, int, int],
        outputs: int,
        *,
        key: Array,
        hidden: int = 4,
        kernel: int = 2,
        stride: int = 1,
        pooling: Pooling = "none",
        activation: Activation | Callable[[Array], Array] = "relu",
    ):
        self.pair = ConvolutionPair(
            (image[0], hidden, outputs), key=key, kernel=kernel, stride=stride, pooling=pooling,
            activation=activation,
        )  # fmt: skip

    def __call__(self, image: Array) -> Array:
        return jnp.mean(self.pair(image), axis=(1, 2))


class ResidualBlocks(eqx.Module):
    """`depth` blocks x + U phi(V x) and a read-out: (inputs,) -> (outputs,)."""

    blocks: list[Skip]
    readout: eqx.nn.Linear

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        key: Array,
        hidden: int = 3,
        depth: int = 2,
        activation: Activation | Callable[[Array], Array] = "relu",
    ):
        *keys, last = jax.random.split(key, depth + 1)
        self.blocks = [
            Skip(TwoLayers(inputs, hidden, inputs, key=of, activation=activation)) for of in keys
        ]
        self.readout = eqx.nn.Linear(inputs, outputs, use_bias=False, key=last)

    def __call__(self, x: Array) -> Array:
        for block in self.blocks:
            x = block(x)
        return self.readout(x)
