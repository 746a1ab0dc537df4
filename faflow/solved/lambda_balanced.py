"""Gradient flow of two linear layers on whitened inputs, from lambda-balanced weights."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Matrix, Scalar
from ..feedback import Feedback
from ..flow import FlowProblem
from ..networks import Linear, initial_network
from ..networks.initialise import LambdaBalanced as LambdaBalancedInit
from ..rules import Gradient
from ..tasks import make_data
from .abstract import AbstractSolvedProblem
from .functions import decay_integral
from .needs import (
    ROUNDING,
    UnsolvedError,
    multiple_of_identity,
    need_rule,
    need_two_linear_layers,
    whitening,
)

ZERO = 64  # units in the last place below which a component of the weights is rounding


class LambdaBalanced(AbstractSolvedProblem):
    """Known: Q Q^T, Q = [W_1^T; W_2], whose lower left block is the map W_2 W_1.

    With X^T X = c I, S = Y^T X / c, W_2^T W_2 - W_1 W_1^T = lam I and
    M = [[-lam/2 I, S^T], [S, lam/2 I]], in time tau = c weight t (weight: the data's):

        Q Q^T = e^{M tau} Q_0 [I + Q_0^T (int_0^tau e^{2 M u} du) Q_0]^{-1} Q_0^T e^{M tau}

    No inverse of M, any widths, any lam. Evaluated in M's eigenbasis with every growing factor
    divided out before it is formed, so that no time is too long.

    `rates` (n_0 + n_2,): M's eigenvalues, descending; `frame`: its eigenvectors as columns;
    `pillars`: Q_0 in that basis as (n_0 + n_2, k) in echelon form, so that a column's first entry
    is its fastest; `pace` = c weight.
    """

    problem: FlowProblem
    rates: Array
    frame: Matrix
    pillars: Matrix
    pace: Scalar
    equation: ClassVar[str] = (
        "Q Q^T = e^{Mt} Q_0 [I + Q_0^T (int_0^t e^{2Mu} du) Q_0]^{-1} Q_0^T e^{Mt}"
    )
    source: ClassVar[str] = "Fukumizu 1998; Braun et al. 2022; Domine et al. 2025"

    @classmethod
    def of(cls, problem: FlowProblem) -> "LambdaBalanced":
        """The solution of a gradient flow; UnsolvedError if it isn't of this kind."""
        need_rule(problem, "gradient", Gradient)
        need_two_linear_layers(problem)
        c = whitening(problem, "features")
        given = (*problem.weights.weights, problem.data.inputs, problem.data.targets)
        low, high, x, y = (np.asarray(part, np.float64) for part in given)
        imbalance = _imbalance(low, high, float(np.finfo(given[0].dtype).eps))
        pull = y.T @ x / c
        inputs, outputs = low.shape[1], high.shape[0]
        m = np.diag(np.repeat([-imbalance / 2, imbalance / 2], [inputs, outputs]))
        m[:inputs, inputs:], m[inputs:, :inputs] = pull.T, pull
        rates, frame = (part[..., ::-1] for part in np.linalg.eigh(m))
        pillars = _echelon(frame.T @ np.vstack([low.T, high]))
        parts = (jnp.asarray(part, float) for part in (rates, frame, pillars))
        return cls(problem, *parts, jnp.asarray(c, float) * problem.data.weight)

    @classmethod
    def draw(
        cls,
        key: Array,
        widths: tuple[int, int, int] = (5, 3, 4),
        scale: float = 1.0,
        imbalance: float = 0.0,
    ) -> "LambdaBalanced":
        """Orthonormal inputs (2 n_0, n_0), gaussian S with entries N(0, 1), weights as drawn by the
        initialisation `lambda-balanced`."""
        inputs, targets, weights = jax.random.split(key, 3)
        x = jax.random.orthogonal(inputs, 2 * widths[0])[:, : widths[0]]
        y = x @ jax.random.normal(targets, (widths[0], widths[2]))
        init = LambdaBalancedInit(scale=scale, imbalance=imbalance)
        net = initial_network(init, weights, widths, Linear())
        return cls.of(FlowProblem(Gradient(), net, Feedback(), make_data(x, y)))

    def answer(self, t: Scalar | float) -> Matrix:
        root = self._root(t)
        inputs = self.problem.weights.weights[0].shape[1]
        return root[inputs:] @ root[:inputs].T

    def gram(self, t: Scalar | float) -> Matrix:
        """Q Q^T = [[W_1^T W_1, (W_2 W_1)^T], [W_2 W_1, W_2 W_2^T]], a time t after the start."""
        root = self._root(t)
        return root @ root.T

    def _root(self, t: Scalar | float) -> Matrix:
        """A (n_0 + n_2, k) with A A^T = Q Q^T.

        With L = `pillars`, E = e^{rates tau}, D = int_0^tau e^{2 rates u} du (diagonal) and any
        diagonal S > 0, Q Q^T = (E L S^{-1}) [S^{-2} + S^{-1} L^T D L S^{-1}]^{-1} (E L S^{-1})^T.
        S_j = the largest entry that column j of E L has (at least 1) leaves nothing to overflow; as
        nothing depends on S, it has no derivative.
        """
        tau = self.pace * t
        grown = jnp.maximum(self.rates, 0.0)[:, None] * tau + jnp.log(jnp.abs(self.pillars))
        shift = jax.lax.stop_gradient(jnp.maximum(jnp.max(grown, axis=0), 0.0))
        held = jnp.sign(self.pillars) * jnp.exp(grown - shift[None, :])
        moved = jnp.exp(jnp.minimum(self.rates, 0.0) * tau)[:, None] * held
        weight = jnp.sqrt(decay_integral(2 * jnp.abs(self.rates), tau))
        stack = jnp.concatenate([jnp.diag(jnp.exp(-shift)), weight[:, None] * held])
        triangle = jnp.linalg.qr(stack, mode="r")
        solved = jax.scipy.linalg.solve_triangular(triangle, moved.T, trans="T")
        return self.frame @ solved.T


def _imbalance(low: np.ndarray, high: np.ndarray, eps: float) -> float:
    """lam of W_2^T W_2 - W_1 W_1^T = lam I; `eps`: how exactly the weights are known."""
    imbalance, apart = multiple_of_identity(high.T @ high - low @ low.T)
    size = np.linalg.norm(low) ** 2 + np.linalg.norm(high) ** 2
    if apart > ROUNDING * eps * size:
        raise UnsolvedError(
            "needs weights with W_2^T W_2 - W_1 W_1^T = lam I, but W(0) is "
            f"{apart / size:.2g} away from it (relative); set init.kind = 'lambda-balanced'"
        )
    return imbalance


def _echelon(rows: np.ndarray) -> np.ndarray:
    """P -> L = P T^T in echelon form, T with orthonormal rows, P = L T (so that P P^T = L L^T).

    A direction is opened by the first row that leaves those before it. A row that is rounding
    beside the others would be a mode that the weights don't have, and is zero.
    """
    eps = ZERO * np.finfo(rows.dtype).eps
    floor = eps * np.linalg.norm(rows)
    frame = np.zeros((0, rows.shape[1]))
    echelon = np.zeros((len(rows), max(1, min(rows.shape))))
    for index, row in enumerate(rows):
        size = np.linalg.norm(row)
        if size <= floor:
            continue
        rest = row - frame.T @ (frame @ row)
        rest = rest - frame.T @ (frame @ rest)
        if np.linalg.norm(rest) > eps * size:
            frame = np.vstack([frame, rest / np.linalg.norm(rest)])
        echelon[index, : len(frame)] = frame @ row
    return echelon
