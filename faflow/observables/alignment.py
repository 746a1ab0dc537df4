"""Layer-wise alignment of weights with feedback: inner product, cosine, degrees."""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp

from .._types import Array
from ..feedback import Feedback, counterparts
from ..networks import AbstractNetwork
from ..networks.draws import frobenius
from ..tasks import Data
from .abstract import AbstractObservable


class Alignment(AbstractObservable):
    """Per feedback matrix: <W, F>, cos = <W, F> / (||W|| ||F||) and the angle in degrees.

    Layerwise feedback F_l is compared with W_l, that of a model with the leaf it stands for, direct
    feedback D_l with W_L ... W_{l+1}. The
    cosine of a zero matrix is undefined and is nan.
    """

    label: ClassVar[str] = "alignment of weights with feedback"
    axes: ClassVar[tuple[str, ...]] = ("feedback",)

    def __call__(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> dict[str, Array]:
        own = counterparts(weights, feedback.form, data.inputs)
        return alignment_table(own, feedback.matrices)


def alignment_table(first: Sequence[Array], second: Sequence[Array]) -> dict[str, Array]:
    """`inner`, `cosine`, `degrees` of matching arrays, one entry per pair."""
    pairs = list(zip(first, second, strict=True))
    return {
        "inner": jnp.stack([jnp.sum(a * b) for a, b in pairs]),
        "cosine": jnp.stack([jnp.sum(a * b) / (frobenius(a) * frobenius(b)) for a, b in pairs]),
        "degrees": jnp.stack([angle_degrees(a, b) for a, b in pairs]),
    }


def angle_degrees(a: Array, b: Array) -> Array:
    """The angle between two arrays in degrees, accurate near 0 and 180 (Kahan 2006).

    2 atan2(||u - v||, ||u + v||) with u = a/||a||, v = b/||b||: arccos of the cosine loses half
    the digits where the two align, which is what is being measured.
    """
    u, v = a / frobenius(a), b / frobenius(b)
    return jnp.rad2deg(2 * jnp.arctan2(frobenius(u - v), frobenius(u + v)))
