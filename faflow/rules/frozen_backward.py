"""Align-ada and align-zero: the error goes back through the network as it was at the start.

Boopathy & Fiete put 1/sqrt(fan_in) in front of every W; here W is the whole matrix, so that their
layers move at rates of their own relative to these.
"""

import abc
from typing import ClassVar

import jax
import jax.numpy as jnp

from .._types import Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork, Trace
from ..tasks import Data
from .abstract import AbstractLearningRule, Laws, State, WeightsAndFeedback
from .backward import backward_sweep, outer_products


class AbstractFrozenBackwardRule(AbstractLearningRule):
    """delta_l = phi'(h_l(0)) . (delta_{l+1} W_{l+1}(0)) (samples, n_l), delta_L = e(t).

    h_l(0) (samples, n_l) is the pre-activation in the initial network, e the present error. The
    state is the weights and their initial copy, which stays. Names no law: what such a rule keeps
    needs W(0) besides the weights.
    """

    @abc.abstractmethod
    def activity(self, present: Trace, initial: Trace) -> Trace:
        """The forward pass whose a_{l-1} the deltas meet: W_l' = -delta_l^T a_{l-1}."""

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        return weights, weights

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        weights, frozen = state
        present, initial = weights.trace(data.inputs), frozen.trace(data.inputs)
        deltas = backward_sweep(frozen, frozen.weights[1:], initial, data.error(present.outputs))
        move = outer_products(weights, self.activity(present, initial), deltas)
        return move, jax.tree.map(jnp.zeros_like, frozen)

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return state[0], feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}


class AlignAda(AbstractFrozenBackwardRule):
    """Frozen deltas, present activity: W_l' = -delta_l^T a_{l-1}(t).

    The masks of the delta are not those of the activity, hence no law. In linear nets there are no
    masks, and this is feedback alignment with F = W(0) (feedback `equal`), which names its laws.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l(0)) . (W_{l+1}(0)^T delta_{l+1}), activity a(t)"
    source: ClassVar[str] = "Boopathy & Fiete 2022 (Align-ada)"
    form: ClassVar[Form] = "none"

    def activity(self, present: Trace, initial: Trace) -> Trace:
        return present


class AlignZero(AbstractFrozenBackwardRule):
    """Frozen deltas and activity, as in the linearisation about W(0): W_l' = -delta_l^T a_{l-1}(0).

    Keeps, with phi of degree k, <W_l, W_l(0)> + <beta_l, beta_l(0)> - k <W_{l+1}, W_{l+1}(0)>, per
    neuron too.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l(0)) . (W_{l+1}(0)^T delta_{l+1}), activity a(0)"
    source: ClassVar[str] = "Boopathy & Fiete 2022 (Align-zero)"
    form: ClassVar[Form] = "none"

    def activity(self, present: Trace, initial: Trace) -> Trace:
        return initial
