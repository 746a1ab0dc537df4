"""Rules under which the feedback moves as well: feedback alignment with the present F."""

import abc

from .._types import Array
from ..feedback import Feedback
from ..networks import AbstractNetwork
from .abstract import AbstractLearningRule, State
from .layerwise import FeedbackAlignment


class AbstractMovingFeedbackRule(AbstractLearningRule):
    """The state is the weights and the feedback matrices F_2..F_L (n_l, n_{l-1})."""

    @abc.abstractmethod
    def moves(
        self, update: AbstractNetwork, weights: AbstractNetwork, matrices: tuple[Array, ...]
    ) -> State:
        """(dW/dt, dF/dt), `update` being feedback alignment's g_l with the present F."""

    def init(self, weights, feedback, data):
        return weights, feedback.matrices

    def velocity(self, t, state, feedback, data):
        weights, matrices = state
        update = FeedbackAlignment().vector_field(weights, Feedback(matrices, "layerwise"), data)
        return self.moves(update, weights, matrices)

    def read(self, state, feedback, data):
        weights, matrices = state
        return weights, Feedback(matrices, "layerwise")
