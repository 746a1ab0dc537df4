"""A convolutional network: convolutions, each with its activation and pooling, and a read-out."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "identity"]


class CNN(eqx.Module):
    """Image (channels, height, width) -> outputs (outputs,).

    `channels`: of each convolution; `stride` of every one. `pooling` over windows of `window` after
    each activation, "none" for none. `bias`: whether the layers have biases.
    """

    convolutions: list[eqx.nn.Conv2d]
    readout: eqx.nn.Linear
    pool: Callable[[Array], Array]
    activation: Callable[[Array], Array] = eqx.field(static=True)
    feedback_blocks: ClassVar[tuple[str, ...]] = ("pool",)

    def __init__(
        self,
        image: tuple[int, int, int],
        outputs: int,
        *,
        key: Array,
        channels: Sequence[int] = (8, 16),
        kernel: int = 3,
        stride: int = 1,
        pooling: Literal["average", "max", "none"] = "average",
        window: int = 2,
        activation: Activation | Callable[[Array], Array] = "relu",
        bias: bool = False,
    ):
        *conv_keys, key = jax.random.split(key, len(channels) + 1)
        self.convolutions = [
            eqx.nn.Conv2d(into, out, kernel, stride, padding="SAME", use_bias=bias, key=of)
            for (into, out), of in zip(pairwise((image[0], *channels)), conv_keys, strict=True)
        ]
        self.activation = getattr(jax.nn, activation) if isinstance(activation, str) else activation
        self.pool = {
            "average": eqx.nn.AvgPool2d(window, window),
            "max": eqx.nn.MaxPool2d(window, window),
            "none": eqx.nn.Identity(),
        }[pooling]
        features = jax.eval_shape(lambda x: self.features(x), jax.ShapeDtypeStruct(image, float))
        self.readout = eqx.nn.Linear(features.size, outputs, use_bias=bias, key=key)

    def features(self, image: Array) -> Array:
        for convolution in self.convolutions:
            image = self.pool(self.activation(convolution(image)))
        return jnp.ravel(image)

    def __call__(self, image: Array) -> Array:
        return self.readout(self.features(image))
