"""Learning rules as vector fields; each names the laws it keeps."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, PyTree, Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw
from ..tasks import Data

State = PyTree[Array]
Laws = dict[str, AbstractConservationLaw]
WeightsAndFeedback = tuple[AbstractNetwork, Feedback]


class AbstractLearningRule(eqx.Module):
    """A rule in general: an autonomous or time-dependent field on a state of its own.

    `equation` and `source` are printed by `faflow list rules`; `form` says which feedback the rule
    takes: "none", "layerwise" (F_2..F_L) or "direct" (D_1..D_{L-1}).
    """

    equation: eqx.AbstractVar[str]
    source: eqx.AbstractVar[str]
    form: eqx.AbstractVar[Form]

    @abc.abstractmethod
    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        """The state that stands for these weights and feedback.

        Rates of laws, speeds and exponents are taken from this state: for a rule that remembers
        more than weights and feedback (a momentum, say) they are those of a start from rest.
        """

    @abc.abstractmethod
    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        """d state / dt."""

    @abc.abstractmethod
    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        """The weights and feedback of a state; `feedback` is the one at t = 0."""

    @abc.abstractmethod
    def laws(self, weights: AbstractNetwork) -> Laws:
        """The conservation laws that hold for this network, by name; {} if none is known."""


class AbstractWholeRule(AbstractLearningRule):
    """A rule of one class of networks, `network`, that it knows as a whole, without layers."""

    network: eqx.AbstractVar[type]


class AbstractWeightRule(AbstractLearningRule):
    """A rule whose state is the weights themselves."""

    @abc.abstractmethod
    def vector_field(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        """d weights / dt, a network-shaped pytree."""

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> AbstractNetwork:
        return weights

    def velocity(
        self, t: Scalar, state: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        return self.vector_field(state, feedback, data)

    def read(self, state: AbstractNetwork, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return state, feedback


def weight_velocity(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    state: State | None = None,
    t: Scalar | None = None,
) -> WeightsAndFeedback:
    """(d weights / dt, d feedback / dt) at time t (0 unless given), through the rule's own state:
    the one that stands for these weights and feedback, unless another is given that `read` makes
    the same of."""
    state = rule.init(weights, feedback, data) if state is None else state
    velocity = rule.velocity(jnp.zeros(()) if t is None else t, state, feedback, data)
    _, tangent = jax.jvp(lambda s: rule.read(s, feedback, data), (state,), (velocity,))
    return tangent
