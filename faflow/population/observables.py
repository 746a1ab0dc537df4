"""Observables that need the teacher: the exact population loss, the covariance of the fields."""

from typing import ClassVar

from .._types import Matrix, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractObservable
from ..tasks import Data
from .order_parameters import KnownTeacher, covariance, population_loss
from .rules import order_of


class PopulationLoss(AbstractObservable):
    """e_g = 1/2 E (y* - f)^2 over x ~ N(0, I), y* without noise; exact (I2)."""

    teacher: KnownTeacher
    label: ClassVar[str] = "population loss"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Scalar:
        return population_loss(order_of(weights, self.teacher), self.teacher)


class Overlaps(AbstractObservable):
    """[[Q, R], [R^T, T]] (K + M, K + M): covariance of the student's and the teacher's fields."""

    teacher: KnownTeacher
    label: ClassVar[str] = "covariance of the fields, student first"
    axes: ClassVar[tuple[str, ...]] = ("field", "other_field")

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Matrix:
        return covariance(order_of(weights, self.teacher), self.teacher.t)
