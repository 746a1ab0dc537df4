"""How many numbers a forward pass makes of one sample: what a field's cost and memory go by."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array
from .convolutions import patches_made
from .marks import numbers_made
from .mlp import AbstractLayeredNetwork, AbstractNetwork
from .model import Model, of_samples


class Made(NamedTuple):
    """Values of a program as it is written, and the patches that its convolutions are of."""

    values: int
    patches: int


def units_of(network: AbstractNetwork, inputs: Array) -> int:
    """Units of layers, or the values of a model as it is written, on whatever machine it runs."""
    if isinstance(network, AbstractLayeredNetwork):
        return sum(weight.shape[0] for weight in network.weights)
    return _made_of(network, inputs).values


def patches_of(network: AbstractNetwork, inputs: Array) -> int:
    """The numbers that are cut out of images where convolutions are made by products: on a CPU."""
    if not isinstance(network, Model) or jax.default_backend() != "cpu":
        return 0
    return _made_of(network, inputs).patches


def _made_of(network: AbstractNetwork, inputs: Array) -> Made:
    leaves, structure = jax.tree.flatten(network)
    shapes = [jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]
    one = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    return _counted(structure, tuple(shapes), one)


@lru_cache(maxsize=64)  # a model is traced for some 10 ms, and asked several times for each flow
def _counted(structure: Any, shapes: tuple[Any, ...], one: Any) -> Made:
    def outputs(net: AbstractNetwork, x: Array) -> Array:
        return of_samples(net.module)(x) if isinstance(net, Model) else net(x)

    jaxpr = jax.make_jaxpr(outputs)(jax.tree.unflatten(structure, shapes), one).jaxpr
    return Made(numbers_made(jaxpr), patches_made(jaxpr))
