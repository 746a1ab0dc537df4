"""Align-ada and align-zero: the error goes back through the network as it was at the start.

Boopathy & Fiete put 1/sqrt(fan_in) in front of every W; here W is the whole matrix, so that their
layers move at rates of their own relative to these.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from .._types import Array, Outputs
from ..feedback import Form
from ..networks import AbstractNetwork, Trace
from .abstract import AbstractLearningRule, backward_sweep, outer_products


class AlignAda(AbstractLearningRule):
    """delta_l = phi'(h_l(0)) . (delta_{l+1} W_{l+1}(0)), delta_L = e, W_l' = -delta_l^T a_{l-1}.

    h_l(0) (samples, n_l) is the pre-activation in the initial network, e and a_{l-1} are those of
    the present one. The state is the weights and their initial copy, which stays. Names no law: the
    masks of the delta are not those of the activity. In linear nets there are no masks, and this is
    feedback alignment with F = W(0) (feedback `equal`), which names its laws.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l(0)) . (W_{l+1}(0)^T delta_{l+1}), activity a(t)"
    source: ClassVar[str] = "Boopathy & Fiete 2022 (Align-ada)"
    form: ClassVar[Form] = "none"

    def init(self, weights, feedback, data):
        return weights, weights

    def velocity(self, t, state, feedback, data):
        weights, initial = state
        trace = weights.trace(data.inputs)
        deltas = _frozen_deltas(initial, initial.trace(data.inputs), data.error(trace.outputs))
        return outer_products(weights, trace, deltas), jax.tree.map(jnp.zeros_like, initial)

    def read(self, state, feedback, data):
        return state[0], feedback

    def laws(self, weights):
        return {}


class AlignZero(AbstractLearningRule):
    """W_l' = -delta_l^T a_{l-1}(0), delta_l = phi'(h_l(0)) . (delta_{l+1} W_{l+1}(0)), delta_L = e.

    Activity and delta are those of the initial network, as in the network's linearisation about
    W(0), the error is the present one. The state is the weights and their initial copy, which
    stays. Names no law; what it keeps, with phi of degree k, needs W(0) besides the weights:
    <W_l, W_l(0)> + <beta_l, beta_l(0)> - k <W_{l+1}, W_{l+1}(0)>, per neuron too.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l(0)) . (W_{l+1}(0)^T delta_{l+1}), activity a(0)"
    source: ClassVar[str] = "Boopathy & Fiete 2022 (Align-zero)"
    form: ClassVar[Form] = "none"

    def init(self, weights, feedback, data):
        return weights, weights

    def velocity(self, t, state, feedback, data):
        weights, initial = state
        error, trace = data.error(weights(data.inputs)), initial.trace(data.inputs)
        deltas = _frozen_deltas(initial, trace, error)
        return outer_products(weights, trace, deltas), jax.tree.map(jnp.zeros_like, initial)

    def read(self, state, feedback, data):
        return state[0], feedback

    def laws(self, weights):
        return {}


def _frozen_deltas(initial: AbstractNetwork, trace: Trace, error: Outputs) -> tuple[Array, ...]:
    return backward_sweep(initial, initial.weights[1:], trace, error)
