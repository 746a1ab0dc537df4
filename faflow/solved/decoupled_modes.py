"""Gradient flow of two linear layers whose modes are the data's: none sees another."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from .._types import Array, Matrix, Scalar
from ..feedback import Feedback
from ..flow import FlowProblem
from ..networks import MLP, AbstractNetwork
from ..rules import Gradient
from ..tasks import make_data
from .abstract import AbstractSolvedWeights
from .functions import decay_integral


class DecoupledModes(AbstractSolvedWeights):
    """Known: the weights. X^T X = I and Y^T X = U diag(s) V^T, from W_1 = R diag(sqrt a) V^T and
    W_2 = U diag(sqrt a) R^T, which keep that form while every mode runs by itself:

        a' = 2 a (s - a),   a(t) = s e^{2st} / (e^{2st} - 1 + s/a_0)

    `left` U (n_2, k), `hidden` R (n_1, k), `right` V (n_0, k): orthonormal columns; `strengths`
    s >= 0 and `starts` a_0 >= 0, both (k,).
    """

    problem: FlowProblem
    left: Matrix
    hidden: Matrix
    right: Matrix
    strengths: Array
    starts: Array
    equation: ClassVar[str] = "a(t) = s e^{2st} / (e^{2st} - 1 + s/a_0) per mode"
    source: ClassVar[str] = "Saxe, McClelland & Ganguli 2014"

    @classmethod
    def draw(
        cls,
        key: Array,
        widths: tuple[int, int, int] = (5, 4, 6),
        strengths: tuple[float, ...] = (3.0, 2.0, 0.5),
        starts: tuple[float, ...] = (0.01, 0.02, 0.9),
    ) -> "DecoupledModes":
        """Haar-distributed U, R, V and orthonormal inputs (2 n_0, n_0). ValueError unless there is
        one start per strength and no more of them than the smallest width."""
        if not 1 <= len(strengths) == len(starts) <= min(widths):
            raise ValueError(
                f"Arguments `strengths` and `starts` must list as many numbers, 1 to {min(widths)} "
                f"for widths {widths}, but list {len(strengths)} and {len(starts)}."
            )
        keys = jax.random.split(key, 4)
        frames = (
            jax.random.orthogonal(k, n)[:, : len(starts)]
            for k, n in zip(keys[:3], widths, strict=True)
        )
        right, hidden, left = frames
        x = jax.random.orthogonal(keys[3], 2 * widths[0])[:, : widths[0]]
        s, a = jnp.asarray(strengths, float), jnp.asarray(starts, float)
        data = make_data(x, x @ (right * s[None, :]) @ left.T)
        net = _network(left, hidden, right, a)
        return cls(FlowProblem(Gradient(), net, Feedback(), data), left, hidden, right, s, a)

    def modes(self, t: Scalar | float) -> Array:
        """a(t) (k,), in a form without overflow: a_0 / (e^{-2st} + 2 a_0 int_0^t e^{-2su} du)."""
        rate, started = 2 * self.strengths, self.starts > 0
        below = jnp.exp(-rate * t) + 2 * self.starts * decay_integral(rate, t)
        return self.starts / jnp.where(started, below, 1.0)

    def network(self, t: Scalar | float) -> AbstractNetwork:
        return _network(self.left, self.hidden, self.right, self.modes(t))


def _network(left: Matrix, hidden: Matrix, right: Matrix, modes: Array) -> MLP:
    root = jnp.sqrt(modes)[None, :]
    return MLP(((hidden * root) @ right.T, (left * root) @ hidden.T))
