"""The slowest rate of the residual as a function that has a derivative.

A simple eigenvalue moves by l^T K' r / l^T r, l and r eigenvectors of K^T and K, so that the
quotient l^T K r / l^T r with both held fast has the eigenvalue's value and derivative (Kato 1966).
K is the residual's operator, or that of the rule's state where that is more than the weights.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._types import Array, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..rules import AbstractLearningRule, AbstractWeightRule
from ..rules.abstract import WeightsAndFeedback
from ..tasks import Data
from .prediction import LARGEST, predict_exponent, residual_operator

SIMPLE = 1e-6  # of the largest rate: eigenvalues nearer than this are one


class SlowestMode(NamedTuple):
    """The rate; eigenvectors of K^T, `left`, and of K, `right`, as real and imaginary parts, with
    l^T r = 1."""

    rate: float
    left: tuple[Array, Array]
    right: tuple[Array, Array]


def slowest_mode(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    start: WeightsAndFeedback,
) -> SlowestMode:
    """The mode that `predict_exponent` finds at the end of a flow. Raises ValueError where it finds
    none, for more than 400 residuals, and where other eigenvalues coincide with the rate, which
    then has no derivative."""
    found = predict_exponent(rule, weights, feedback, data, start)
    if found.status != "ok":
        raise ValueError(f"there is no exponent ({found.status}: {found.method})")
    apply, size = _operator(rule, weights, feedback, data)
    if isinstance(rule, AbstractWeightRule) and size > LARGEST:
        raise ValueError(f"{size} residuals are more than the {LARGEST} that are looked through")
    matrix = np.asarray(jax.vmap(apply)(jnp.eye(size))).T
    rates, right = np.linalg.eig(matrix)
    others, left = np.linalg.eig(matrix.T)
    near = int(np.argmin(np.abs(rates - (found.rate + 1j * found.frequency))))
    gaps = np.sort(np.abs(rates - rates[near]))
    if gaps.size > 1 and gaps[1] <= SIMPLE * np.abs(rates).max():
        raise ValueError("other eigenvalues coincide with the slowest rate, which is not smooth")
    r, l = right[:, near], left[:, np.argmin(np.abs(others - rates[near]))]
    parts = ((jnp.asarray(np.real(v)), jnp.asarray(np.imag(v))) for v in (l / (l @ r), r))
    return SlowestMode(found.rate, *parts)


def mode_rate(
    mode: SlowestMode,
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
) -> Scalar:
    """Re l^T K r, a function of all but the mode that JAX differentiates."""
    apply, _ = _operator(rule, weights, feedback, data)
    real, imaginary = (
        left @ apply(right) for left, right in zip(mode.left, mode.right, strict=True)
    )
    return real - imaginary


def _operator(
    rule: AbstractLearningRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> tuple[Callable[[Array], Array], int]:
    """u -> K u on flat vectors, and their size."""
    if isinstance(rule, AbstractWeightRule):
        apply, shape = residual_operator(rule, weights, feedback, data), data.targets.shape
        return lambda u: apply(u.reshape(shape)).ravel(), data.targets.size
    flat, unravel = ravel_pytree(rule.init(weights, feedback, data))

    def velocity(x: Array) -> Array:
        moved = rule.velocity(jnp.zeros((), x.dtype), unravel(x), feedback, data)
        return ravel_pytree(moved)[0]

    return lambda u: -jax.jvp(velocity, (flat,), (u,))[1], flat.size
