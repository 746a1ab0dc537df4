"""How feedback is drawn or tied to W(0): one final class per kind, its fields the options."""

import abc
import itertools
from typing import ClassVar, get_args

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Matrix
from ..networks import AbstractNetwork
from ..networks.draws import (
    Scale,
    gaussian_matrix,
    keys_for,
    orthogonal_matrix,
    per_matrix,
    uniform_matrix,
)
from .feedback import Feedback, Form, counterparts


class AbstractFeedbackDraw(eqx.Module):
    """Draws one feedback matrix of a given shape.

    `scale` is one number, or one per feedback matrix. `needs_weights`: the draw looks at the
    counterpart of the matrix in W(0).
    """

    scale: eqx.AbstractVar[Scale]
    needs_weights: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
        """One matrix; `weight` is its counterpart in W(0) (empty unless `needs_weights`)."""


class Gaussian(AbstractFeedbackDraw):
    """F entries N(0, scale^2 / fan_in), fan_in = columns of F."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = False

    def matrix(self, key, shape, weight, scale):
        return gaussian_matrix(key, shape, scale)


class Uniform(AbstractFeedbackDraw):
    """F entries uniform with mean 0 and variance scale^2 / fan_in."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = False

    def matrix(self, key, shape, weight, scale):
        return uniform_matrix(key, shape, scale)


class Orthogonal(AbstractFeedbackDraw):
    """F = scale times a matrix with orthonormal rows or columns."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = False

    def matrix(self, key, shape, weight, scale):
        return orthogonal_matrix(key, shape, scale)


class EqualToWeights(AbstractFeedbackDraw):
    """F_l = scale * W_l(0) (direct: scale * W_L(0) ... W_{l+1}(0))."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = True

    def matrix(self, key, shape, weight, scale):
        return scale * weight


class Correlated(AbstractFeedbackDraw):
    """F = rho W(0) + sqrt(1 - rho^2) V, V gaussian like `gaussian` (Bordelon & Pehlevan 2022)."""

    rho: float = 0.5
    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = True

    def __check_init__(self):
        if not -1.0 <= self.rho <= 1.0:
            raise ValueError(f"Argument `rho` must lie in [-1, 1], but is {self.rho}.")

    def matrix(self, key, shape, weight, scale):
        fresh = gaussian_matrix(key, shape, scale)
        return self.rho * weight + (1.0 - self.rho**2) ** 0.5 * fresh


class SignOfWeights(AbstractFeedbackDraw):
    """F = scale * sign(W(0)) / sqrt(fan_in): fixed signs of the first weights."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = True

    def matrix(self, key, shape, weight, scale):
        return scale * jnp.sign(weight) / shape[1] ** 0.5


def feedback_shapes(widths: tuple[int, ...], form: Form) -> list[tuple[int, int]]:
    """Shapes of (F_2..F_L) or (D_1..D_{L-1}) for widths (n_0, ..., n_L)."""
    if form not in get_args(Form):
        raise ValueError(f"Argument `form` must be one of {get_args(Form)}, but is {form!r}.")
    if form == "none":
        return []
    if form == "layerwise":
        return [(out, into) for into, out in itertools.pairwise(widths[1:])]
    return [(widths[-1], width) for width in widths[1:-1]]


def draw_feedback(
    draw: AbstractFeedbackDraw,
    key: Array,
    widths: tuple[int, ...],
    form: Form,
    network: AbstractNetwork | None = None,
) -> Feedback:
    """Feedback for a network of these widths.

    Raises ValueError if the draw needs W(0) and `network` is None, or if `scale` lists the wrong
    number of values.
    """
    shapes = feedback_shapes(widths, form)
    if draw.needs_weights and network is None:
        raise ValueError(
            f"Feedback {type(draw).__name__} is tied to W(0), but W(0) is itself drawn from the "
            "feedback; choose another init or another feedback."
        )
    weights = [jnp.zeros((0, 0))] * len(shapes)
    if draw.needs_weights and network is not None:
        weights = counterparts(network, form)
    scales, keys = per_matrix(draw.scale, shapes), keys_for(key, len(shapes))
    matrices = (draw.matrix(*each) for each in zip(keys, shapes, weights, scales, strict=True))
    return Feedback(tuple(matrices), form)


FEEDBACKS = {
    "gaussian": Gaussian,
    "uniform": Uniform,
    "orthogonal": Orthogonal,
    "equal": EqualToWeights,
    "correlated": Correlated,
    "sign": SignOfWeights,
}
