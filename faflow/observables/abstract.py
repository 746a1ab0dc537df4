"""What is measured on the way: functions of (weights, feedback, data)."""

import abc

import equinox as eqx

from .._types import Record
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..tasks import Data


class AbstractObservable(eqx.Module):
    """A function of (weights, feedback, data), evaluated by the flow at every save time.

    `label`: what an axis says. `axes`: names of the array's axes (per leaf), for stored records.
    """

    label: eqx.AbstractVar[str]
    axes: eqx.AbstractVar[tuple[str, ...]]

    @abc.abstractmethod
    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Record:
        """The value: an array or a pytree of arrays of fixed shapes."""
