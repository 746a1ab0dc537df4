"""FA* with one hidden unit: its weights turn on a circle."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from .._types import Array, Scalar
from ..feedback import Feedback
from ..flow import FlowProblem
from ..networks import MLP, AbstractNetwork
from ..rules import FAStar
from ..tasks import make_data
from .abstract import AbstractSolvedWeights
from .needs import UnsolvedError, need_rule, need_two_linear_layers, whitening


class FAStarOneRow(AbstractSolvedWeights):
    """Known: the weights. X^T X = c I, one hidden unit, W_1 = w, a = F_2^T Y^T X: ||w|| stays, and
    the angle theta between w and a closes as

        tan(theta/2) = tan(theta_0/2) e^{-weight ||a|| t / ||w_0||}

    (`weight`: the data's); W_2 = Y^T X w^T / (c ||w||^2). `towards`: a / ||a||; `across`: the unit
    vector of w_0 outside a, or zero; `cosine`, `sine` of theta_0; `size` = ||w_0||; `rate`.
    """

    problem: FlowProblem
    towards: Array
    across: Array
    cosine: Scalar
    sine: Scalar
    size: Scalar
    rate: Scalar
    gram: Scalar
    equation: ClassVar[str] = "tan(theta/2) = tan(theta_0/2) e^{-||a|| t / ||w_0||}, a = B Y"
    source: ClassVar[str] = "derived for faflow, for our reading of FA* (Garg & Vempala 2022)"

    @classmethod
    def of(cls, problem: FlowProblem) -> "FAStarOneRow":
        """The solution of a flow by FA*; UnsolvedError if it isn't of this kind."""
        need_rule(problem, "fa-star", FAStar)
        need_two_linear_layers(problem)
        data, first = problem.data, problem.weights.weights[0]
        if first.shape[0] != 1:
            raise UnsolvedError(f"needs one hidden unit, but there are {first.shape[0]}")
        c = whitening(problem, "features")
        pull = problem.feedback.matrices[0][:, 0] @ data.targets.T @ data.inputs
        w, size, strength = first[0], jnp.linalg.norm(first), jnp.linalg.norm(pull)
        if not (size > 0 and strength > 0):
            raise UnsolvedError("needs W_1(0) and B Y that are not zero; nothing is defined")
        towards = pull / strength
        rest = w - (w @ towards) * towards
        apart = jnp.linalg.norm(rest)
        across = jnp.where(apart > 0, rest / jnp.where(apart > 0, apart, 1.0), 0.0)
        cosine, rate = (w @ towards) / size, data.weight * strength / size
        gram = jnp.asarray(c, float)
        return cls(problem, towards, across, cosine, apart / size, size, rate, gram)

    @classmethod
    def draw(cls, key: Array, rows: int = 7, columns: int = 6, rank: int = 4) -> "FAStarOneRow":
        """||Z W - Y|| with a gaussian Y (rows, columns) of a given rank; w_0 and B are N(0, 1)."""
        keys = jax.random.split(key, 4)
        y = jax.random.normal(keys[0], (rows, rank)) @ jax.random.normal(keys[1], (rank, columns))
        data = make_data(jnp.eye(columns), y.T / rank**0.5)
        net = MLP((jax.random.normal(keys[2], (1, columns)), jnp.zeros((rows, 1))))
        back = Feedback((jax.random.normal(keys[3], (rows, 1)),), "layerwise")
        return cls.of(FlowProblem(FAStar(), net, back, data))

    def network(self, t: Scalar | float) -> AbstractNetwork:
        decay = jnp.exp(-self.rate * t)
        near, far = 1 + self.cosine, (1 - self.cosine) * decay**2
        cosine, sine = (near - far) / (near + far), 2 * self.sine * decay / (near + far)
        w = self.size * (cosine * self.towards + sine * self.across)
        data = self.problem.data
        readout = data.targets.T @ (data.inputs @ w) / (self.gram * self.size**2)
        return MLP((w[None, :], readout[:, None]))
