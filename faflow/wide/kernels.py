"""Kernels of the linear limit as records: H^l, Gt^l, K, its alignment with the targets."""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Inputs, Matrix, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractObservable
from ..tasks import Data
from .linear import WideLinear


class WideKernels(NamedTuple):
    """`features` (L+1, P, P): H^0 = K^x, ..., H^L; `alignments` (L+1,): Gt^1, ..., Gt^{L+1};
    `tangent` (P, P): K = sum_l Gt^{l+1} H^l; `target_alignment`: y^T K y / (|K| |y|^2);
    `feature_change` (L,): |H^l - K^x| / |K^x| in Frobenius' norm, l = 1..L."""

    features: Array
    alignments: Array
    tangent: Matrix
    target_alignment: Scalar
    feature_change: Array


def wide_kernels(network: WideLinear, inputs: Inputs, targets: Array) -> WideKernels:
    """All kernels at the samples (P, D), whose targets are (P,)."""
    gram = inputs @ inputs.T / inputs.shape[1]
    k = inputs @ network.direction
    growths, q = network.limit.growths(network.q), network.q
    features = gram[None] + growths[:, None, None] * (k[:, None] * k[None, :])[None]
    gradients = network.limit.alignments(q)
    tangent = jnp.tensordot(gradients, features, 1)
    change = growths[1:] * (k @ k) / jnp.linalg.norm(gram)
    towards = target_alignment(tangent, targets)
    return WideKernels(features, gradients, tangent, towards, change)


def target_alignment(tangent: Matrix, targets: Array) -> Scalar:
    """A(K, y y^T) = y^T K y / (|K| |y|^2), in Frobenius' norm."""
    size = jnp.linalg.norm(tangent) * (targets @ targets)
    return targets @ tangent @ targets / size


class KernelPart(AbstractObservable):
    """One field of the record of `observed`, under its own name and axes."""

    observed: AbstractObservable
    part: str = eqx.field(static=True)
    label: str = eqx.field(static=True)
    axes: tuple[str, ...] = eqx.field(static=True, default=())

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Array:
        return getattr(self.observed(weights, feedback, data), self.part)


class WideKernelsObserved(AbstractObservable):
    """`wide_kernels` at the data's own samples, at every save."""

    label: ClassVar[str] = "kernels at infinite width"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> WideKernels:
        assert isinstance(weights, WideLinear)
        return wide_kernels(weights, data.inputs, data.targets[:, 0])


class OutputsAt(AbstractObservable):
    """f (samples,) at these inputs, at every save: of test points, say."""

    inputs: Inputs
    label: str = eqx.field(static=True, default="outputs")
    axes: tuple[str, ...] = eqx.field(static=True, default=("sample",))

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Array:
        return weights(self.inputs)[:, 0]
