"""Loss, residual, norms, and the distance of a linear network's map to a known answer."""

from functools import reduce
from typing import ClassVar

import jax
import jax.numpy as jnp

from .._types import Array, Matrix, Scalar
from ..feedback import Feedback
from ..networks import AbstractLayeredNetwork, AbstractNetwork
from ..networks.draws import frobenius
from ..tasks import Data
from .abstract import AbstractObservable
from .sums import each_sum


class Loss(AbstractObservable):
    """The scalar loss, summed or averaged over samples as the task says."""

    label: ClassVar[str] = "loss"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Scalar:
        return data.value(data.outputs(weights))


class Residual(AbstractObservable):
    """||e||_F over samples and outputs, e = dLoss/df per sample (squared loss: f - y)."""

    label: ClassVar[str] = "residual norm"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Scalar:
        return frobenius(data.residual(data.outputs(weights)))


class BackProjectedResidual(AbstractObservable):
    """||e F_L||_F, e (samples, n_L): non-increasing from zero weights (theory: Garg & Vempala).

    Direct feedback: F_L = D_{L-1}.
    """

    label: ClassVar[str] = "back-projected residual norm"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Scalar:
        return frobenius(data.residual(data.outputs(weights)) @ feedback.matrices[-1])


class Norms(AbstractObservable):
    """(||W_1||_F, ..., ||W_L||_F); of a model, ||.|| of every moving leaf."""

    label: ClassVar[str] = "weight norms"
    axes: ClassVar[tuple[str, ...]] = ("layer",)

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Array:
        return jnp.sqrt(each_sum([part * part for part in norm_parts(weights)]))


def norm_parts(weights: AbstractNetwork) -> tuple[Array, ...]:
    """W_1, ..., W_L; of a model, every moving leaf."""
    layered = isinstance(weights, AbstractLayeredNetwork)
    return weights.weights if layered else tuple(jax.tree.leaves(weights))


class MapDistance(AbstractObservable):
    """||W_L ... W_1 - M||_F / ||M||_F of a linear network's map to a known answer M (n_L, n_0).

    M is the minimum-norm solution X^+ Y transposed, or the limit Y P_{BY} of a factorisation.
    """

    answer: Matrix
    label: str = "relative distance to the known answer"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Scalar:
        return frobenius(linear_map(weights) - self.answer) / frobenius(self.answer)


def linear_map(weights: AbstractNetwork) -> Matrix:
    """The product W_L ... W_1 (n_L, n_0): the whole map of a bias-free linear network."""
    return reduce(lambda low, up: up @ low, weights.weights)
