"""Solvers that know more about their own work than diffrax asks."""

import abc
from typing import Any, TypeVar

import diffrax
import numpy as np

from .._types import Array, Integer, PyTree, Scalar

# What diffrax hands to a solver, and what a step is to return: y, its error, what lies between, the
# solver's state, how it went.
State = TypeVar("State")
ODE = PyTree[diffrax.AbstractTerm]
Time = int | float | Array | np.ndarray
Jump = bool | Array | np.ndarray
Step = tuple[PyTree, PyTree | None, dict[str, Any], State, diffrax.RESULTS]


class AbstractCountingSolver(diffrax.AbstractSolver):
    """A solver whose state counts field evaluations, since a step's number of them varies."""

    @abc.abstractmethod
    def evaluations(self, solver_state: PyTree) -> Integer | Array:
        """Field evaluations since `init`, its own included."""

    @abc.abstractmethod
    def longest_step(self, solver_state: PyTree) -> Scalar:
        """The longest next step that is worth trying, whatever the error allows."""

    @abc.abstractmethod
    def after_rejection(self, before: PyTree, error: PyTree | None) -> PyTree:
        """The state to try a shorter step with: `before` is the one the rejected step began from,
        `error` its error estimate (infinite where the step left the finite numbers)."""
