"""The slowest rate of the residual as a function that has a derivative.

A simple eigenvalue moves by l^T K' r / l^T r, l and r eigenvectors of K^T and K, so that the
quotient l^T K r / l^T r with both held fast has the eigenvalue's value and derivative (Kato 1966).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..rules import AbstractLearningRule, AbstractWeightRule
from ..tasks import Data
from .prediction import LARGEST, Point, kernel_matrix, predict_exponent, residual_operator

SIMPLE = 1e-6  # of the largest rate: eigenvalues nearer than this are one


class SlowestMode(NamedTuple):
    """The rate; eigenvectors (samples, outputs) of K^T, `left`, and of K, `right`, as real and
    imaginary parts, with l^T r = 1."""

    rate: float
    left: tuple[np.ndarray, np.ndarray]
    right: tuple[np.ndarray, np.ndarray]


def slowest_mode(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    start: Point,
) -> SlowestMode:
    """The mode that `predict_exponent` finds at the end of a flow. Raises ValueError where it finds
    none, where the rule's state is more than the weights, for more than 400 residuals, and
    where other eigenvalues coincide with the rate, which then has no derivative."""
    found = predict_exponent(rule, weights, feedback, data, start)
    if found.status != "ok":
        raise ValueError(f"there is no exponent ({found.status}: {found.method})")
    if not isinstance(rule, AbstractWeightRule):
        raise ValueError("the rule's state is more than its weights")
    shape = data.targets.shape
    if data.targets.size > LARGEST:
        raise ValueError(f"there are {data.targets.size} residuals, more than {LARGEST}")
    matrix = kernel_matrix(rule, weights, feedback, data)
    rates, right = np.linalg.eig(matrix)
    others, left = np.linalg.eig(matrix.T)
    near = int(np.argmin(np.abs(rates - (found.rate + 1j * found.frequency))))
    l, r = left[:, np.argmin(np.abs(others - rates[near]))], right[:, near]
    gaps = np.sort(np.abs(rates - rates[near]))
    if gaps.size > 1 and gaps[1] <= SIMPLE * np.abs(rates).max():
        raise ValueError("other eigenvalues coincide with the slowest rate, which is not smooth")
    parts = ((v.real.reshape(shape), v.imag.reshape(shape)) for v in (l / (l @ r), r))
    return SlowestMode(found.rate, *parts)


def mode_rate(
    mode: SlowestMode,
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
) -> Scalar:
    """Re l^T K r, a function of all but the mode that JAX differentiates."""
    assert isinstance(rule, AbstractWeightRule)
    apply = residual_operator(rule, weights, feedback, data)
    real, imaginary = (
        jnp.sum(jnp.asarray(left) * apply(jnp.asarray(right)))
        for left, right in zip(mode.left, mode.right, strict=True)
    )
    return real - imaginary
