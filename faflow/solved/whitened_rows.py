"""Feedback alignment of two linear layers from zero weights, independent samples whitened."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Scalar
from ..feedback import Feedback
from ..flow import FlowProblem
from ..networks import MLP, AbstractNetwork
from ..rules import DirectFeedbackAlignment, FeedbackAlignment
from ..tasks import make_data
from .abstract import AbstractSolvedWeights
from .functions import cubic_rise
from .needs import UnsolvedError, need_rule, need_two_linear_layers, whitening


class WhitenedRows(AbstractSolvedWeights):
    """Known: the weights. One output, X X^T = c I (samples are rows), b = F_2^T, q = X^T y / u,
    u = ||X^T y||; from zero, W_1 = sigma b q^T and W_2 = 1/2 sigma^2 b^T with

        sigma' = weight (u - c/2 ||b||^2 sigma^3),   sigma -> sigma* = (2 u / (c ||b||^2))^{1/3}

    (`weight`: the data's), so that with x = sigma / sigma*

        weight u t / sigma* = -1/3 log(1 - x) + 1/6 log(1 + x + x^2)
                              + 1/sqrt(3) atan(sqrt(3) x / (2 + x))

    and sigma* - sigma falls as e^{-rate t}, rate = 3 weight u / sigma*: three times the smallest
    eigenvalue of the residual's flow, which this residual never excites alone. `row`: q.
    """

    problem: FlowProblem
    row: Array
    drive: Scalar
    limit: Scalar
    equation: ClassVar[str] = (
        "sigma' = u - 1/2 ||b||^2 sigma^3, W_1 = sigma b q^T, W_2 = 1/2 sigma^2 b^T"
    )
    source: ClassVar[str] = "derived for faflow; the setting of Robertson & Koyejo 2023, Theorem 2"

    @classmethod
    def of(cls, problem: FlowProblem) -> "WhitenedRows":
        """The solution of a flow by feedback alignment; UnsolvedError if it isn't of this kind."""
        need_rule(problem, "feedback-alignment", FeedbackAlignment, DirectFeedbackAlignment)
        need_two_linear_layers(problem)
        data = problem.data
        if data.targets.shape[1] != 1:
            raise UnsolvedError(f"needs one output, but there are {data.targets.shape[1]}")
        if any(np.any(np.asarray(weight)) for weight in problem.weights.weights):
            raise UnsolvedError("needs zero weights at the start; set init.kind = 'zero'")
        c = whitening(problem, "rows")
        pull = (data.inputs.T @ data.targets)[:, 0]
        size, back = jnp.linalg.norm(pull), problem.feedback.matrices[0]
        if not (size > 0 and jnp.any(back != 0)):
            raise UnsolvedError("needs targets and feedback that are not zero; nothing moves")
        limit = jnp.cbrt(2 * size / (c * jnp.sum(back * back)))
        return cls(problem, pull / size, data.weight * size, limit)

    @classmethod
    def draw(
        cls, key: Array, samples: int = 4, widths: tuple[int, int] = (10, 6)
    ) -> "WhitenedRows":
        """Orthonormal rows (samples, n_0), targets and feedback N(0, 1)."""
        inputs, targets, feedback = jax.random.split(key, 3)
        x = jax.random.orthogonal(inputs, widths[0])[:samples]
        data = make_data(x, jax.random.normal(targets, (samples, 1)))
        net = MLP((jnp.zeros(widths[::-1]), jnp.zeros((1, widths[1]))))
        back = Feedback((jax.random.normal(feedback, (1, widths[1])),), "layerwise")
        return cls.of(FlowProblem(FeedbackAlignment(), net, back, data))

    @property
    def rate(self) -> Scalar:
        """The exponent of the residual, 1 / time."""
        return 3 * self.drive / self.limit

    def sigma(self, t: Scalar | float) -> Scalar:
        """The one number that moves."""
        return self.limit * cubic_rise(self.drive * t / self.limit)

    def network(self, t: Scalar | float) -> AbstractNetwork:
        sigma, back = self.sigma(t), self.problem.feedback.matrices[0]
        return MLP((sigma * back.T * self.row[None, :], sigma**2 / 2 * back))
