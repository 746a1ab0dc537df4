"""Kernels of a finite network of the mean-field scaling, as the limit's are: its layers averaged.

With N neurons in every hidden layer, g^l = g0 N df/dh^l and gt^l the rule's signal of unit error
times g0 N (Delta phi(h^l) for Hebb),

    Phi^l_{mu nu} = phi(h^l_mu) . phi(h^l_nu) / N,     Gt^l_{mu nu} = g^l_mu . gt^l_nu / N
    K = sum_{l=0}^L Gt^{l+1} Phi^l,     Phi^0 = K^x = X X^T / D,  Gt^{L+1} = 1

so that df/dt = K Delta under `MeanFieldRates` (`MeanFieldHebbian`). Of the neurons of `neurons.py`
it is the limit's estimate (Bordelon & Pehlevan 2022).
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractObservable
from ..rules import DirectFeedbackAlignment, FeedbackAlignment, Gradient
from ..tasks import Data
from .kernels import WideKernels, target_alignment

HEBBIAN = "hebbian"
_DELTAS = {
    "gradient": Gradient,
    "feedback-alignment": FeedbackAlignment,
    "direct-feedback-alignment": DirectFeedbackAlignment,
}


def layered_kernels(
    network: AbstractNetwork, feedback: Feedback, data: Data, rule: str, richness: Scalar
) -> tuple[Array, Array, Array]:
    """Phi^0, ..., Phi^L (L+1, P, P); Gt^1, ..., Gt^{L+1} (L+1, P, P); K (P, P)."""
    trace = network.trace(data.inputs)
    fields = [a @ a.T / a.shape[1] for a in trace.post[:-1]]
    one = jnp.ones_like(trace.outputs)
    scale = richness * network.weights[-1].shape[1]
    back = Gradient().deltas(network, feedback, trace, one)[:-1]
    if rule == HEBBIAN:
        told = [-data.derivative(trace.outputs) * a for a in trace.post[1:-1]]
    else:
        deltas = _DELTAS[rule]().deltas(network, feedback, trace, one)[:-1]
        told = [scale * delta for delta in deltas]
    pairs = zip(back, told, strict=True)
    signals = [scale * g @ gt.T / g.shape[1] for g, gt in pairs]
    signals.append(jnp.ones_like(fields[0]))
    features, alignments = jnp.stack(fields), jnp.stack(signals)
    return features, alignments, jnp.sum(alignments * features, 0)


class LayeredKernelsObserved(AbstractObservable):
    """`layered_kernels` as a record; `first`: Phi^0, ..., Phi^L at t = 0, which the change of
    features is measured from. Alignments are means over samples of Gt^l_{mu mu}."""

    rule: str = eqx.field(static=True)
    richness: Scalar
    first: Array
    label: ClassVar[str] = "kernels of layers"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> WideKernels:
        features, signals, tangent = layered_kernels(
            weights, feedback, data, self.rule, self.richness
        )
        moved = jnp.linalg.norm(features - self.first, axis=(1, 2))
        change = moved / jnp.linalg.norm(self.first, axis=(1, 2))
        alignments = jnp.mean(jnp.diagonal(signals, axis1=1, axis2=2), 1)
        towards = target_alignment(tangent, data.targets[:, 0])
        return WideKernels(features, alignments, tangent, towards, change[1:])
