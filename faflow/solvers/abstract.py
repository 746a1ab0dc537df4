"""Solvers that know more about their own work than diffrax asks."""

import abc

import diffrax

from .._types import Array, Integer, PyTree, Scalar


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
