"""What every read-out under softmax cross-entropy keeps, whatever is fed back below it."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Record
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..tasks import Data
from .laws import AbstractConservationLaw


class ReadoutSum(AbstractConservationLaw):
    """sum_k W_L[k, :] (n_{L-1},), and sum_k b_L[k] after it where there are biases.

    Softmax cross-entropy shifts by nothing if all outputs shift alike: e = p - y sums to zero over
    outputs, and with it every column of W_L' = -e^T x_{L-1}. Kept under any rule whose read-out
    hears e itself, for any activation (Marcotte, Gribonval & Peyre 2025 have the gradient's case).
    Linear in the weights, so that every Runge-Kutta method keeps it to rounding. `layers` has the
    last hidden layer: entry j speaks of its neuron j.
    """

    layers: tuple[int, ...] = eqx.field(static=True)
    decay: float = 0.0
    quadratic: ClassVar[bool] = True
    label: ClassVar[str] = "read-out sum"
    axes: ClassVar[tuple[str, ...]] = ("neuron_or_bias",)

    def terms(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> tuple[Array, ...]:
        del feedback, data
        columns = weights.weights[-1].T
        if weights.biases:
            columns = jnp.concatenate([columns, weights.biases[-1][None, :]])
        return (columns,)

    def collect(self, terms: tuple[Array, ...]) -> Record:
        return tuple(jnp.sum(term, axis=-1) for term in terms)


def readout_sum(weights: AbstractNetwork) -> ReadoutSum:
    """The law of this network's read-out."""
    return ReadoutSum((len(weights.weights) - 1,))
