"""Kernels of a finite network of the mean-field scaling, as the limit's are: its layers averaged.

With N neurons in every hidden layer, g^l = g0 N df/dh^l and gt^l the rule's signal of unit error
times g0 N (Delta phi(h^l) for Hebb),

    Phi^l_{mu nu} = phi(h^l_mu) . phi(h^l_nu) / N,     Gt^l_{mu nu} = g^l_mu . gt^l_nu / N
    K = sum_{l=0}^L Gt^{l+1} Phi^l,     Phi^0 = K^x = X X^T / D,  Gt^{L+1} = 1

so that df/dt = K Delta under `MeanFieldRates` (`MeanFieldHebbian`). Of the neurons of `neurons.py`
it is the limit's estimate (Bordelon & Pehlevan 2022).
"""

from typing import ClassVar

import jax.numpy as jnp

from .._compiling import ONCE, compiled
from .._types import Array
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractObservable
from ..rules import AbstractLayerwiseRule, Gradient
from ..tasks import Data
from .hebbian import MeanFieldHebbian
from .kernels import WideKernels, target_alignment
from .neurons import MeanFieldRule


def layer_signals(
    network: AbstractNetwork, feedback: Feedback, data: Data, rule: MeanFieldRule
) -> list[tuple[Array, Array]]:
    """(g^l, gt^l), each (P, N), of the hidden layers. ValueError for a rule without deltas."""
    trace = network.trace(data.inputs)
    one = jnp.ones_like(trace.outputs)
    scale = rule.richness * network.weights[-1].shape[1]
    true = Gradient().deltas(network, feedback, trace, one)[:-1]
    if isinstance(rule, MeanFieldHebbian):
        told = [-data.derivative(trace.outputs) * a for a in trace.post[1:-1]]
    elif isinstance(rule.rule, AbstractLayerwiseRule):
        deltas = rule.rule.deltas(network, feedback, trace, one)[:-1]
        told = [scale * delta for delta in deltas]
    else:
        raise ValueError(f"Argument `rule` must have deltas, but {rule.rule} has none.")
    return [(scale * g, gt) for g, gt in zip(true, told, strict=True)]


@compiled(ONCE)
def layered_kernels(
    network: AbstractNetwork, feedback: Feedback, data: Data, rule: MeanFieldRule
) -> tuple[Array, Array, Array]:
    """Phi^0, ..., Phi^L (L+1, P, P); Gt^1, ..., Gt^{L+1} (L+1, P, P); K (P, P)."""
    posts = network.trace(data.inputs).post[:-1]
    features = jnp.stack([a @ a.T / a.shape[1] for a in posts])
    pairs = layer_signals(network, feedback, data, rule)
    signals = [g @ gt.T / g.shape[1] for g, gt in pairs]
    alignments = jnp.stack([*signals, jnp.ones_like(features[0])])
    return features, alignments, jnp.sum(alignments * features, 0)


class LayeredKernelsObserved(AbstractObservable):
    """`layered_kernels` as a record; `first`: Phi^0, ..., Phi^L at t = 0, which the change of
    features is measured from. Alignments are means over samples of Gt^l_{mu mu}."""

    rule: MeanFieldRule
    first: Array
    label: ClassVar[str] = "kernels of layers"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> WideKernels:
        features, signals, tangent = layered_kernels(weights, feedback, data, self.rule)
        moved = jnp.linalg.norm(features - self.first, axis=(1, 2))
        change = moved / jnp.linalg.norm(self.first, axis=(1, 2))
        alignments = jnp.mean(jnp.diagonal(signals, axis1=1, axis2=2), 1)
        towards = target_alignment(tangent, data.targets[:, 0])
        return WideKernels(features, alignments, tangent, towards, change[1:])
