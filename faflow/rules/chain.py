"""Whether a network is what a rule takes it for: h_l = W_l a_{l-1} + beta_l, a_l = phi(h_l).

A network class of the user's may have a skip, a convolution, a factor before a matrix: the backward
sweep would then be some other rule's, without a word. Asked once, of the class: at random weights
and inputs, since zero weights would tell nothing and traced ones (`jit`, `vmap`) are not known.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..feedback import Feedback
from ..networks import MLP, AbstractNetwork, GatedMLP, Trace, with_layers
from ..tasks import Data
from .abstract import AbstractLearningRule, AbstractWholeRule
from .backward import AbstractLayerwiseRule, outer_products
from .kernel import GivenError
from .layerwise import Gradient
from .modifiers.modified import unmodified

KNOWN = (MLP, GatedMLP)  # chains by construction: a class derived from one may be none
SAMPLES = 3
PACKAGE = __name__.split(".")[0] + "."


def check_chain(rule: AbstractLearningRule, network: AbstractNetwork, data: Data) -> None:
    """Raise ValueError unless the rule can go back through this network.

    Nothing is done for faflow's own networks, nor for a rule of the user's that has a field of its
    own. Of others: weights are matrices that fit, `trace` ends in what a call returns, the backward
    sweep with M = W is minus `jax.grad` (but of surrogate derivatives, which have none), and every
    h_l is W_l a_{l-1} + beta_l, every a_l phi(h_l): linear nets are multiplied out, and laws and
    limits rely on it, also where an offset leaves the gradient right.
    """
    if data.inputs.ndim != 2:
        raise ValueError(
            f"Network {type(network).__name__} takes vectors, but a sample has the shape "
            f"{data.inputs.shape[1:]}; flatten the inputs, or give a model (an equinox Module)."
        )
    if jnp.issubdtype(data.inputs.dtype, jnp.integer):
        raise ValueError(
            f"Network {type(network).__name__} takes numbers, but the inputs are tokens; set "
            "tokens = false, or give a model (an equinox Module) with an embedding."
        )
    if data.targets.ndim != 2:
        raise ValueError(
            f"Network {type(network).__name__} makes vectors, but a sample's targets have the "
            f"shape {data.targets.shape[1:]}; flatten them, or give a model (an equinox Module)."
        )
    inner = unmodified(rule)
    if isinstance(inner, AbstractWholeRule):
        if not isinstance(network, inner.network):
            raise ValueError(
                f"{type(inner).__name__} moves a {inner.network.__name__}, but the network is a "
                f"{type(network).__name__}; give that."
            )
        return
    if type(network) in KNOWN or not _sweeps(unmodified(rule)):
        return
    with_layers(network, type(unmodified(rule)).__name__)
    with jax.ensure_compile_time_eval():
        fault = _fault(network, data.inputs.shape[1])
    if fault:
        raise ValueError(
            f"Network {type(network).__name__} is no chain h_l = W_l a_(l-1) + beta_l, a_l = "
            f"phi(h_l), as {type(unmodified(rule)).__name__} takes it for: {fault}; write a rule "
            "for it (an AbstractWeightRule with its vector_field)."
        )


def _sweeps(rule: AbstractLearningRule) -> bool:
    """Whether the rule goes back layer by layer: faflow's own, or made of `deltas`."""
    own = (c for c in type(rule).__mro__ if c.__module__.startswith(PACKAGE))
    return isinstance(rule, AbstractLayerwiseRule) or any(not inspect.isabstract(c) for c in own)


def _fault(network: AbstractNetwork, features: int) -> str:
    """What is wrong with a network as a chain, in words; "" if nothing is."""
    shapes, into = [np.shape(weight) for weight in network.weights], features
    for layer, shape in enumerate(shapes, start=1):
        if len(shape) != 2 or shape[1] != into:
            return f"W_{layer} has shape {shape}, not (n_{layer}, {into})"
        into = shape[0]
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(lambda leaf: _random(rng, leaf), network)
    inputs = jnp.asarray(rng.standard_normal((SAMPLES, features)), drawn.weights[0].dtype)
    error = jnp.asarray(rng.standard_normal((SAMPLES, into)), inputs.dtype)
    trace = drawn.trace(inputs)
    if np.shape(trace.outputs) != error.shape or _apart([trace.outputs], [drawn(inputs)]):
        return "its trace does not end in what a call returns"
    off = _gradient_off(drawn, trace, inputs, error) if network.activation.exact else 0.0
    if off:
        return f"the gradient's backward sweep is {100 * off:.0f} % off jax.grad"
    return _misfit(drawn, trace)


def _gradient_off(drawn: AbstractNetwork, trace: Trace, inputs: Array, error: Array) -> float:
    """The relative distance of the backward sweep with M = W from autodiff."""
    sweep = outer_products(drawn, trace, Gradient().deltas(drawn, Feedback(), trace, error))
    data = Data(inputs, error, GivenError(), jnp.ones((), inputs.dtype))
    gradient = jax.grad(lambda net: data.value(net(inputs)))(drawn)
    return _apart(
        *(jax.tree.leaves(tree) for tree in (sweep, jax.tree.map(jnp.negative, gradient)))
    )


def _misfit(network: AbstractNetwork, trace: Trace) -> str:
    for layer, weight in enumerate(network.weights, start=1):
        pre = trace.post[layer - 1] @ weight.T
        if network.biases:
            pre = pre + network.biases[layer - 1][None, :]
        slopes, hidden = trace.slopes, layer < len(network.weights)
        post = (slopes[layer - 1] * pre if slopes else network.activation(pre)) if hidden else pre
        if _apart([pre, post], [trace.pre[layer - 1], trace.post[layer]]):
            return f"h_{layer} or a_{layer} is another function of a_{layer - 1}"
    return ""


def _random(rng: np.random.Generator, leaf: Any) -> Any:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
        return leaf
    shape = jnp.shape(leaf)
    fan_in = shape[-1] if len(shape) > 1 else 1
    return jnp.asarray(rng.standard_normal(shape) / fan_in**0.5, jnp.result_type(leaf))


def _apart(found: list[Array], wanted: list[Array]) -> float:
    """Their relative distance, 0 to rounding; 0 too where what is wanted is no number."""
    one, two = (np.concatenate([np.ravel(leaf) for leaf in tree]) for tree in (found, wanted))
    size = np.linalg.norm(two)
    off = np.linalg.norm(one - two) / size if size > 0 else np.linalg.norm(one)
    small = off <= np.finfo(two.dtype).eps ** 0.5 or not np.isfinite(size)
    return 0.0 if small else float(off)
