"""What laws are looked for in: fields on a flat state, one for every lesson."""

import abc
from typing import Any

import equinox as eqx
import numpy as np

from .._types import Array


class AbstractFields(eqx.Module):
    """d state/dt as a function of the flat state and of a lesson (a pytree).

    `counted`: the entries of the state that a law may depend on.
    """

    counted: eqx.AbstractVar[tuple[int, ...]]

    @property
    @abc.abstractmethod
    def kinked(self) -> bool:
        """Whether there are regions of states with fields of their own: kinks, or jumps."""

    @property
    @abc.abstractmethod
    def speeds(self) -> tuple[int, ...]:
        """The entries of the state that are 0 at rest: a momentum's; () if there are none."""

    @abc.abstractmethod
    def random_states(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, D) generic states."""

    @abc.abstractmethod
    def lessons(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
        """Random lessons, stacked."""

    @abc.abstractmethod
    def __call__(self, flat: Array, lesson: Any) -> Array:
        """d state/dt (state,), flat."""
