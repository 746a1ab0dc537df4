"""Networks: weights as modules whose array leaves are exactly what moves."""

import abc
from typing import Any, NamedTuple

import equinox as eqx

from .._types import Array, Inputs, Outputs, Samples
from .activations import AbstractActivation, Linear


class Trace(NamedTuple):
    """One forward pass over all samples: `pre[l-1]` = h_l, `post[l]` = a_l, l = 1..L.

    h_l is (samples, n_l); a_0 = X, a_l = phi(h_l) for l < L, a_L = h_L = f (linear read-out).
    `slopes`: what multiplies the backward signals of layers 1..L-1 where that is not phi'(h_l), the
    gates of a gated network; () where it is.
    """

    pre: tuple[Array, ...]
    post: tuple[Array, ...]
    slopes: tuple[Array, ...] = ()

    @property
    def outputs(self) -> Array:
        return self.post[-1]


class AbstractNetwork(eqx.Module):
    """A function of inputs; its array leaves are exactly what moves, the state of the flow.

    Own networks derive from `AbstractLayeredNetwork`; any other equinox Module becomes a `Model`.
    """

    @abc.abstractmethod
    def __call__(self, inputs: Samples) -> Array:
        """The outputs f(X), (samples, n_L)."""

    def __getattr__(self, name: str) -> Any:
        # What is written for layers says so when it meets a network without.
        layers = name in ("weights", "biases", "activation", "trace")
        what = "is no network of layers, as an MLP is, and has" if layers else "has"
        raise AttributeError(f"{type(self).__name__} {what} no `{name}`.")


class AbstractLayeredNetwork(AbstractNetwork):
    """A chain of layers, for what needs their matrices and the trace of the forward pass.

    `weights[l-1]` = W_l (n_l, n_{l-1}); `biases[l-1]` = beta_l (n_l,), or () without biases.
    """

    weights: eqx.AbstractVar[tuple[Array, ...]]
    biases: eqx.AbstractVar[tuple[Array, ...]]
    activation: eqx.AbstractVar[AbstractActivation]

    @abc.abstractmethod
    def trace(self, inputs: Inputs) -> Trace:
        """The forward pass: pre-activations h_l and activations a_l of every layer."""


class MLP(AbstractLayeredNetwork):
    """h_l = W_l a_{l-1} + beta_l, a_l = phi(h_l) for l < L, f = h_L (Robertson & Koyejo 2023)."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...] = ()
    activation: AbstractActivation = eqx.field(static=True, default_factory=Linear)

    def trace(self, inputs: Inputs) -> Trace:
        pre, post = [], [inputs]
        for layer, weight in enumerate(self.weights, start=1):
            h = post[-1] @ weight.T
            if self.biases:
                h = h + self.biases[layer - 1][None, :]
            pre.append(h)
            post.append(h if layer == len(self.weights) else self.activation(h))
        return Trace(tuple(pre), tuple(post))

    def __call__(self, inputs: Inputs) -> Outputs:
        return self.trace(inputs).outputs


def widths(network: AbstractNetwork) -> tuple[int, ...]:
    """(n_0, n_1, ..., n_L): input width first, output width last. ValueError without layers."""
    weights = with_layers(network, "A list of widths").weights
    return (weights[0].shape[1], *(weight.shape[0] for weight in weights))


def with_layers(network: AbstractNetwork, what: str) -> AbstractLayeredNetwork:
    """The network, if it has layers; else a ValueError that names what needs them."""
    if not isinstance(network, AbstractLayeredNetwork):
        raise ValueError(
            f"{what} needs a network of layers (an MLP), but was given a {type(network).__name__}."
        )
    return network


def is_linear(network: AbstractNetwork) -> bool:
    """Whether every hidden layer is linear, so that the matrix laws and linear answers apply."""
    if not isinstance(network, AbstractLayeredNetwork):
        return False
    return isinstance(network.activation, Linear) or len(network.weights) == 1
