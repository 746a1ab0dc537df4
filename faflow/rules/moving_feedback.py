"""Rules under which the feedback moves as well: feedback alignment with the present F."""

import abc
from collections.abc import Callable

from .._types import Array, Scalar
from ..feedback import Feedback, counterparts
from ..networks import AbstractNetwork
from ..tasks import Data
from .abstract import AbstractLearningRule, State, WeightsAndFeedback
from .layerwise import FeedbackAlignment

FeedbackArrays = tuple[Array, ...]
Met = Callable[[AbstractNetwork], FeedbackArrays]


class AbstractMovingFeedbackRule(AbstractLearningRule):
    """The state is the weights and the feedback matrices F_2..F_L (n_l, n_{l-1}); of a model, the
    arrays of its feedback."""

    @abc.abstractmethod
    def moves(
        self, update: AbstractNetwork, weights: AbstractNetwork, matrices: FeedbackArrays, met: Met
    ) -> State:
        """(dW/dt, dF/dt), `update` being feedback alignment's g_l with the present F.

        `met` picks of a network what the matrices stand for: (W_2, ..., W_L).
        """

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        return weights, feedback.matrices

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        weights, matrices = state
        update = FeedbackAlignment().vector_field(weights, Feedback(matrices, "layerwise"), data)
        met = lambda net: counterparts(net, "layerwise", data.inputs)  # noqa: E731
        return self.moves(update, weights, matrices, met)

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        weights, matrices = state
        return weights, Feedback(matrices, "layerwise")
