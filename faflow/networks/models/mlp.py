"""A multilayer perceptron written as a module: what faflow's own MLP is, one leaf a weight."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import equinox as eqx
import jax
from jax import Array

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "identity"]


class MLPModule(eqx.Module):
    """Vector (inputs,) -> outputs (outputs,) over `hidden` widths, an activation after each."""

    layers: list[eqx.nn.Linear]
    activation: Callable[[Array], Array]
    feedback_blocks: ClassVar[tuple[str, ...]] = ("activation",)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        key: Array,
        hidden: Sequence[int] = (16,),
        activation: Activation | Callable[[Array], Array] = "relu",
        bias: bool = False,
    ):
        widths = (inputs, *hidden, outputs)
        keys = jax.random.split(key, len(widths) - 1)
        self.layers = [
            eqx.nn.Linear(into, out, use_bias=bias, key=of)
            for (into, out), of in zip(pairwise(widths), keys, strict=True)
        ]
        self.activation = getattr(jax.nn, activation) if isinstance(activation, str) else activation

    def __call__(self, x: Array) -> Array:
        *hidden, readout = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return readout(x)
