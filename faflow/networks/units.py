"""How many numbers a forward pass makes of one sample: what a field's cost and memory go by."""

import jax
from jax.extend.core import Jaxpr

from .._types import Array
from .convolutions import patches_made
from .marks import numbers_made
from .mlp import AbstractLayeredNetwork, AbstractNetwork
from .model import Model, of_samples


def units_of(network: AbstractNetwork, inputs: Array) -> int:
    """Units of layers, or the values of a model as it is written, on whatever machine it runs."""
    if isinstance(network, AbstractLayeredNetwork):
        return sum(weight.shape[0] for weight in network.weights)
    return numbers_made(_program(network, inputs))


def patches_of(network: AbstractNetwork, inputs: Array) -> int:
    """The numbers that are cut out of images where convolutions are made by products: on a CPU."""
    if not isinstance(network, Model) or jax.default_backend() != "cpu":
        return 0
    return patches_made(_program(network, inputs))


def _program(network: AbstractNetwork, inputs: Array) -> Jaxpr:
    one = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)

    def outputs(net: AbstractNetwork, x: Array) -> Array:
        return of_samples(net.module)(x) if isinstance(net, Model) else net(x)

    return jax.make_jaxpr(outputs)(network, one).jaxpr
