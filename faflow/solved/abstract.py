"""Flows whose exact solution is known: a problem together with its answer."""

import abc

import equinox as eqx

from .._types import Array, Matrix, Scalar
from ..flow import FlowProblem
from ..networks import AbstractNetwork
from ..observables import linear_map


class AbstractSolvedProblem(eqx.Module):
    """A problem, and the end-to-end map of its exact flow at every time.

    `equation` and `source` say what is known and by whom. Answers are pure functions of t: jit
    them, vmap them over times.
    """

    equation: eqx.AbstractClassVar[str]
    source: eqx.AbstractClassVar[str]
    problem: eqx.AbstractVar[FlowProblem]

    @classmethod
    @abc.abstractmethod
    def draw(cls, key: Array) -> "AbstractSolvedProblem":
        """A random problem of this kind."""

    @abc.abstractmethod
    def answer(self, t: Scalar | float) -> Matrix:
        """W_L ... W_1 (n_L, n_0), a time t >= 0 after the start."""


class AbstractSolvedWeights(AbstractSolvedProblem):
    """A solved problem of which more than the map is known: every weight."""

    @abc.abstractmethod
    def network(self, t: Scalar | float) -> AbstractNetwork:
        """W_1, ..., W_L, a time t >= 0 after the start."""

    def answer(self, t: Scalar | float) -> Matrix:
        return linear_map(self.network(t))
