"""How feedback is drawn or tied to W(0): one final class per kind, its fields the options."""

import abc
import itertools
from collections.abc import Sequence
from typing import ClassVar, get_args

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._generator import drawn
from .._types import Array, Matrix
from ..networks import AbstractNetwork
from ..networks.draws import (
    Scale,
    gaussian_matrix,
    keys_for,
    mean_field_readout,
    orthogonal_matrix,
    per_matrix,
    uniform_matrix,
)
from .feedback import Feedback, Form, counterparts

Shapes = list[tuple[int, int]]
Weights = Sequence[Array]
Matrices = tuple[Matrix, ...]


class AbstractDraw(eqx.Module):
    """Draws all feedback matrices. `needs_weights`: it looks at their counterparts in W(0)."""

    needs_weights: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def matrices(self, key: Array, shapes: Shapes, weights: Weights, form: Form) -> Matrices:
        """One matrix per shape; `weights` are their counterparts (empty unless `needs_weights`)."""


class AbstractFeedbackDraw(AbstractDraw):
    """Draws one feedback matrix of a given shape at a time.

    `scale` is one number, or one per feedback matrix.
    """

    scale: eqx.AbstractVar[Scale]

    @abc.abstractmethod
    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
        """One matrix; `weight` is its counterpart in W(0) (empty unless `needs_weights`)."""

    def matrices(self, key: Array, shapes: Shapes, weights: Weights, form: Form) -> Matrices:
        scales, keys = per_matrix(self.scale, shapes), keys_for(key, len(shapes))
        return tuple(self.matrix(*each) for each in zip(keys, shapes, weights, scales, strict=True))


class Gaussian(AbstractFeedbackDraw):
    """F entries N(0, scale^2 / fan_in), fan_in = columns of F."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = False

    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
        return gaussian_matrix(key, shape, scale)


class Uniform(AbstractFeedbackDraw):
    """F entries uniform with mean 0 and variance scale^2 / fan_in."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = False

    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
        return uniform_matrix(key, shape, scale)


class Orthogonal(AbstractFeedbackDraw):
    """F = scale times a matrix with orthonormal rows or columns."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = False

    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
        return orthogonal_matrix(key, shape, scale)


class LowRank(AbstractFeedbackDraw):
    """F = U V, U (rows, `rank`) and V (`rank`, columns) gaussian; entries have variance
    scale^2 / fan_in, as those of `gaussian`. No matrix has a higher rank than its smaller side,
    which stands for a larger `rank`. What the error does not reach is not learned from: of e only
    the part in the rows' space goes back.
    """

    rank: int = 1
    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = False

    def __check_init__(self):
        if self.rank < 1:
            raise ValueError(f"Argument `rank` must be >= 1, but is {self.rank}; give another.")

    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
        rank = min(self.rank, *shape)
        first, second = keys_for(key, 2)
        left = gaussian_matrix(first, (shape[0], rank), 1.0)  # entries of variance 1 / rank
        return left @ gaussian_matrix(second, (rank, shape[1]), scale)


class EqualToWeights(AbstractFeedbackDraw):
    """F_l = scale * W_l(0) (direct: scale * W_L(0) ... W_{l+1}(0))."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = True

    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
        return scale * weight


class Correlated(AbstractFeedbackDraw):
    """F = rho W(0) + sqrt(1 - rho^2) V, V gaussian like `gaussian` (Bordelon & Pehlevan 2022)."""

    rho: float = 0.5
    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = True

    def __check_init__(self):
        _check_correlation(self.rho)

    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
        return _correlated(self.rho, weight, gaussian_matrix(key, shape, scale))


class MeanField(AbstractDraw):
    """F = rho W(0) + sqrt(1 - rho^2) V, V drawn as the init `mean-field` draws W(0).

    The rho-aligned feedback of Bordelon & Pehlevan 2022 in their scaling: V entries N(0, 1 /
    fan_in), those of maps to the outputs (F_L; direct feedback's D_l) smaller by the factor
    gamma_0 sqrt n_{L-1}, gamma_0 = `richness`.
    """

    rho: float = 0.0
    richness: float = 1.0
    needs_weights: ClassVar[bool] = True

    def __check_init__(self):
        _check_correlation(self.rho)
        if not self.richness > 0.0:
            raise ValueError(f"Argument `richness` must be > 0, but is {self.richness}.")

    def matrices(self, key: Array, shapes: Shapes, weights: Weights, form: Form) -> Matrices:
        found, keys = [], keys_for(key, len(shapes))
        readout = mean_field_readout(self.richness, shapes[-1][1]) if shapes else 1.0
        for i, (shape, weight) in enumerate(zip(shapes, weights, strict=True)):
            scale = readout if form == "direct" or i == len(shapes) - 1 else 1.0
            found.append(_correlated(self.rho, weight, gaussian_matrix(keys[i], shape, scale)))
        return tuple(found)


def _check_correlation(rho: float) -> None:
    if not -1.0 <= rho <= 1.0:
        raise ValueError(f"Argument `rho` must lie in [-1, 1], but is {rho}.")


def _correlated(rho: float, weight: Matrix, fresh: Matrix) -> Matrix:
    return rho * weight + (1.0 - rho**2) ** 0.5 * fresh


class SignOfWeights(AbstractFeedbackDraw):
    """F = scale * sign(W(0)) / sqrt(fan_in): fixed signs of the first weights."""

    scale: Scale = 1.0
    needs_weights: ClassVar[bool] = True

    def matrix(self, key: Array, shape: tuple[int, int], weight: Array, scale: float) -> Matrix:
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
    draw: AbstractDraw,
    key: Array,
    widths: tuple[int, ...],
    form: Form,
    network: AbstractNetwork | None = None,
) -> Feedback:
    """Feedback for a network of these widths.

    Drawn in float64 and rounded to JAX's precision, so that one seed is one feedback.
    Raises ValueError if the draw needs W(0) and `network` is None, or if `scale` lists the wrong
    number of values.
    """
    shapes = feedback_shapes(widths, form)
    if draw.needs_weights and network is None:
        raise ValueError(
            f"Feedback {type(draw).__name__} is tied to W(0), but W(0) is itself drawn from the "
            "feedback; choose another init or another feedback."
        )
    weights = [jnp.asarray(np.zeros((0, 0)), float)] * len(shapes)
    if draw.needs_weights and network is not None:
        weights = counterparts(network, form)
    matrices = drawn(lambda *of: draw.matrices(of[0], shapes, of[1], form), key, weights)
    return Feedback(matrices, form)


FEEDBACKS = {
    "gaussian": Gaussian,
    "uniform": Uniform,
    "orthogonal": Orthogonal,
    "low-rank": LowRank,
    "equal": EqualToWeights,
    "correlated": Correlated,
    "mean-field": MeanField,
    "sign": SignOfWeights,
}
