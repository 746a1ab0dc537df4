"""Observables that need a rule: deltas against backprop's, speed, instantaneous exponent."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from .._types import Array, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractObservable, alignment_table
from ..solvers import norm
from ..tasks import Data
from .abstract import AbstractLearningRule, weight_velocity
from .backward import AbstractLayerwiseRule
from .layerwise import Gradient


class DeltaAlignment(AbstractObservable):
    """Per hidden layer: the rule's delta_l against backprop's (inner product, cosine, degrees)."""

    rule: AbstractLayerwiseRule
    label: ClassVar[str] = "alignment of deltas with backprop's"
    axes: ClassVar[tuple[str, ...]] = ("hidden_layer",)

    def __call__(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> dict[str, Array]:
        trace = weights.trace(data.inputs)
        error = data.error(trace.outputs)
        own = self.rule.deltas(weights, feedback, trace, error)
        backprop = Gradient().deltas(weights, feedback, trace, error)
        return alignment_table(own[:-1], backprop[:-1])


class Speed(AbstractObservable):
    """||dW/dt||, over all weights."""

    rule: AbstractLearningRule
    label: ClassVar[str] = "speed"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Scalar:
        velocity, _ = weight_velocity(self.rule, weights, feedback, data)
        return norm(velocity)


class Exponent(AbstractObservable):
    """The instantaneous exponent -<e, e'> / ||e||^2 = -d/dt log ||e||, e = dLoss/df per sample."""

    rule: AbstractLearningRule
    label: ClassVar[str] = "instantaneous exponent"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Scalar:
        velocity, _ = weight_velocity(self.rule, weights, feedback, data)
        residual, change = jax.jvp(
            lambda net: data.residual(data.outputs(net)), (weights,), (velocity,)
        )
        return -jnp.sum(residual * change) / jnp.sum(residual**2)
