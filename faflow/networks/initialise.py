"""How W(0) is drawn: one final class per kind; its fields are the options of `[init]`."""

import abc
import itertools
from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from .._generator import drawn, folded, normal
from .._types import Array, Matrix
from .activations import AbstractActivation
from .draws import (
    Scale,
    frobenius,
    gaussian_matrix,
    keys_for,
    mean_field_readout,
    orthogonal_matrix,
    per_matrix,
)
from .mlp import MLP

Shapes = list[tuple[int, int]]
Matrices = tuple[Matrix, ...]


class AbstractInitialisation(eqx.Module):
    """Draws W_1(0), ..., W_L(0).

    `needs_feedback`: the draw uses F_2..F_L, so the feedback can't in turn be drawn from W(0).
    """

    needs_feedback: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        """The weights, `shapes[l-1]` = (n_l, n_{l-1}); `feedback` = (F_2, ..., F_L)."""


def _each(draw: Callable[..., Matrix], key: Array, shapes: Shapes, scale: Scale) -> Matrices:
    draws = zip(keys_for(key, len(shapes)), shapes, per_matrix(scale, shapes), strict=True)
    return tuple(draw(*one) for one in draws)


class Gaussian(AbstractInitialisation):
    """W_l entries N(0, scale^2 / n_{l-1}); `scale` is one number or one per layer."""

    scale: Scale = 1.0
    needs_feedback: ClassVar[bool] = False

    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        del feedback, inputs
        return _each(gaussian_matrix, key, shapes, self.scale)


class Orthogonal(AbstractInitialisation):
    """W_l = scale times a random matrix with orthonormal rows or columns; `scale` as above."""

    scale: Scale = 1.0
    needs_feedback: ClassVar[bool] = False

    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        del feedback, inputs
        return _each(orthogonal_matrix, key, shapes, self.scale)


class MeanField(AbstractInitialisation):
    """Gaussian, W_l entries N(0, 1 / n_{l-1}), the read-out's N(0, 1 / (gamma_0 n_{L-1})^2).

    The mean-field (maximal-update) scaling of Bordelon & Pehlevan 2022 with its prefactors in the
    weights, gamma_0 = `richness`; the learning rates that belong to it are the modifier
    `mean-field`, the feedback the kind `mean-field`, both with the same richness.
    """

    richness: float = 1.0
    needs_feedback: ClassVar[bool] = False

    def __check_init__(self):
        if not self.richness > 0.0:
            raise ValueError(f"Argument `richness` must be > 0, but is {self.richness}.")

    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        del feedback, inputs
        keys, scales = keys_for(key, len(shapes)), [1.0] * len(shapes)
        scales[-1] = mean_field_readout(self.richness, shapes[-1][1])
        return tuple(gaussian_matrix(*each) for each in zip(keys, shapes, scales, strict=True))


class Zero(AbstractInitialisation):
    """W_l = 0 for every layer."""

    needs_feedback: ClassVar[bool] = False

    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        del key, feedback, inputs
        return tuple(jnp.zeros(shape) for shape in shapes)


class Balanced(AbstractInitialisation):
    """Balanced for the gradient: W_l W_l^T = W_{l+1}^T W_{l+1} (Arora, Cohen & Hazan 2018).

    With U S V^T the singular value decomposition of a fan-in scaled gaussian (n_L, n_0) matrix of
    rank k = min(n_0, n_L), W_l = Q_l S^{1/L} Q_{l-1}^T, Q_0 = V, Q_L = U, the rest random with
    orthonormal columns. Raises ValueError if a hidden width is below k.
    """

    scale: float = 1.0
    needs_feedback: ClassVar[bool] = False

    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        del feedback, inputs
        rank = min(shapes[0][1], shapes[-1][0])
        for out, _ in shapes[:-1]:
            if out < rank:
                raise ValueError(
                    f"Balanced weights need hidden widths >= min(inputs, outputs) = {rank}, but a "
                    f"hidden width is {out}; widen it or use another init."
                )
        keys = keys_for(key, len(shapes) + 1)
        product = gaussian_matrix(keys[-1], (shapes[-1][0], shapes[0][1]), self.scale)
        left, singular, right = jnp.linalg.svd(product, full_matrices=False)
        frames = [right.T]
        for k, (out, _) in zip(keys[:-2], shapes[:-1], strict=True):
            frames.append(jax.random.orthogonal(k, out)[:, :rank])
        frames.append(left)
        root = singular ** (1.0 / len(shapes))
        return tuple((frames[i + 1] * root[None, :]) @ frames[i].T for i in range(len(shapes)))


class LambdaBalanced(AbstractInitialisation):
    """Two layers with W_2^T W_2 - W_1 W_1^T = lam I, lam = `imbalance` (Domine et al. 2025).

    W_1 = R diag(w_1) V^T, W_2 = U diag(w_2) R^T with w_2^2 - w_1^2 = lam, and w_1 w_2 the largest
    singular values of a gaussian (n_2, n_0) matrix with entries N(0, scale^2 / n_0), U and V its
    singular vectors, R Haar-distributed. ValueError unless there are two layers, and n_1 <= n_2 for
    lam > 0, n_1 <= n_0 for lam < 0: lam I needs as many directions on the side that carries it.
    """

    scale: float = 1.0
    imbalance: float = 0.0
    needs_feedback: ClassVar[bool] = False

    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        del feedback, inputs
        if len(shapes) != 2:
            raise ValueError(
                f"Lambda-balanced weights need two layers, but there are {len(shapes)}; use "
                "'balanced' for other depths."
            )
        (width, into), (out, _) = shapes
        side, room = ("outputs", out) if self.imbalance > 0 else ("inputs", into)
        if self.imbalance != 0 and width > room:
            raise ValueError(
                f"Lambda-balanced weights need a hidden width <= {side} = {room} for imbalance = "
                f"{self.imbalance}, but it is {width}; narrow it, or set imbalance = 0."
            )
        first, second = keys_for(key, 2)
        left, singular, right = jnp.linalg.svd(gaussian_matrix(first, (out, into), self.scale))
        product = _columns(singular[None, :], width)[0]
        large = jnp.sqrt(abs(self.imbalance) / 2 + jnp.hypot(self.imbalance / 2, product))
        small = jnp.where(large > 0, product / jnp.where(large > 0, large, 1.0), 0.0)
        low, high = (small, large) if self.imbalance > 0 else (large, small)
        middle = jax.random.orthogonal(second, width)
        lower = (middle * low[None, :]) @ _columns(right.T, width).T
        return lower, (_columns(left, width) * high[None, :]) @ middle.T


def _columns(matrix: Matrix, count: int) -> Matrix:
    """The first `count` columns, zeros where there are fewer."""
    missing = max(0, count - matrix.shape[1])
    return jnp.pad(matrix[:, :count], ((0, 0), (0, missing)))


class FromFeedback(AbstractInitialisation):
    """W_l(0) = F_l for l >= 2; W_1(0) gaussian with ||W_1(0)||_F = scale * ||F_2||_F.

    With scale <= 1 this is the corollary of Theorem 1 (Robertson & Koyejo 2023) for one hidden
    layer; alignment is certified while scale < sqrt 2.
    """

    scale: float = 1.0
    needs_feedback: ClassVar[bool] = True

    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        del inputs
        first = _of_norm(gaussian_matrix(key, shapes[0]), self.scale * frobenius(feedback[0]))
        return (first, *feedback)


class DataSpan(AbstractInitialisation):
    """Theorem 2's condition: the rows of W_1(0) lie in the span of the data, W_1(0) = A X.

    ||W_1(0)||_F = scale * ||F_2||_F with a gaussian A. The layers above start at the feedback
    (`readout = "feedback"`), at zero, or gaussian.
    """

    scale: float = 0.9
    readout: Literal["feedback", "zero", "gaussian"] = "feedback"
    needs_feedback: ClassVar[bool] = True

    def __call__(self, key: Array, shapes: Shapes, feedback: Matrices, inputs: Array) -> Matrices:
        first = gaussian_matrix(key, (shapes[0][0], inputs.shape[0])) @ inputs
        first = _of_norm(first, self.scale * frobenius(feedback[0]))
        if self.readout == "feedback":
            return (first, *feedback)
        if self.readout == "zero":
            return (first, *(jnp.zeros(shape) for shape in shapes[1:]))
        keys = keys_for(key, len(shapes))
        rest = (gaussian_matrix(k, s) for k, s in zip(keys[1:], shapes[1:], strict=True))
        return (first, *rest)


def _of_norm(matrix: Matrix, size: Array) -> Matrix:
    """The matrix rescaled to a Frobenius norm; zero stays zero."""
    norm = frobenius(matrix)
    return jnp.where(norm > 0, size / jnp.where(norm > 0, norm, 1.0), 0.0) * matrix


def initial_network(
    initialisation: AbstractInitialisation,
    key: Array,
    widths: tuple[int, ...],
    activation: AbstractActivation,
    *,
    bias: bool = False,
    bias_scale: float = 0.0,
    feedback: Matrices = (),
    inputs: Array | None = None,
) -> MLP:
    """An MLP of widths (n_0, ..., n_L) at W(0); biases, if any, are N(0, bias_scale^2).

    Drawn in float64 and rounded to JAX's precision, so that one seed is one network. Raises
    ValueError if the initialisation needs feedback matrices that are not given.
    """
    shapes = [(out, into) for into, out in itertools.pairwise(widths)]
    if initialisation.needs_feedback and [f.shape for f in feedback] != shapes[1:]:
        raise ValueError(
            f"{type(initialisation).__name__} needs layerwise feedback of shapes {shapes[1:]}, but "
            f"got {[f.shape for f in feedback]}; use a rule with layerwise feedback."
        )
    given = jnp.zeros((0, widths[0])) if inputs is None else inputs
    weights = drawn(lambda *of: initialisation(of[0], shapes, *of[1:]), key, feedback, given)
    biases = drawn(lambda of: _biases(of, shapes, bias_scale), key) if bias else ()
    return MLP(weights, biases, activation)


def _biases(key: Array, shapes: Shapes, scale: float) -> tuple[Array, ...]:
    keys = keys_for(folded(key, 10_000), len(shapes))
    draws = zip(keys, shapes, strict=True)
    return tuple(jnp.asarray(scale * normal(k, (shape[0],)), float) for k, shape in draws)


INITIALISATIONS = {
    "gaussian": Gaussian,
    "orthogonal": Orthogonal,
    "zero": Zero,
    "mean-field": MeanField,
    "balanced": Balanced,
    "lambda-balanced": LambdaBalanced,
    "feedback": FromFeedback,
    "data-span": DataSpan,
}
