"""Kolen-Pollack: the feedback moves with the weights and both forget at the same rate."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Scalar
from ..feedback import Feedback, Form
from ..observables import MovingFeedbackPotential, balance_laws
from .abstract import AbstractLearningRule
from .layerwise import FeedbackAlignment


class KolenPollack(AbstractLearningRule):
    """dW_l/dt = g_l - lambda W_l, dF_l/dt = g_l - lambda F_l, g_l the feedback-alignment update.

    W - F = e^{-lambda t} (W(0) - F(0)); 1/2 ||W_l||^2 - (k/2) ||F_{l+1}||^2 (per neuron too, with
    hidden biases) decays as e^{-2 lambda t} and is kept for lambda = 0. `decay` = lambda,
    in 1 / time.
    """

    decay: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=0.0)
    equation: ClassVar[str] = "dW_l = g_l - lambda W_l, dF_l = g_l - lambda F_l (g_l as in FA)"
    source: ClassVar[str] = "Kolen & Pollack 1994; Akrout et al. 2019"
    form: ClassVar[Form] = "layerwise"

    def init(self, weights, feedback, data):
        return weights, feedback.matrices

    def velocity(self, t, state, feedback, data):
        weights, matrices = state
        update = FeedbackAlignment().vector_field(weights, Feedback(matrices, "layerwise"), data)
        forget = lambda move, value: move - self.decay * value  # noqa: E731
        moved = tuple(map(forget, update.weights[1:], matrices))
        return jax.tree.map(forget, update, weights), moved

    def read(self, state, feedback, data):
        weights, matrices = state
        return weights, Feedback(matrices, "layerwise")

    def laws(self, weights):
        return balance_laws(weights, MovingFeedbackPotential(), decay=2 * self.decay)
