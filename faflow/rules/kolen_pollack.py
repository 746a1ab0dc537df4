"""Kolen-Pollack: the feedback moves with the weights and both forget at the same rate."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Scalar
from ..feedback import Form
from ..networks import AbstractNetwork
from ..observables import MovingFeedbackPotential, balance_laws
from .abstract import Laws, State
from .moving_feedback import AbstractMovingFeedbackRule, FeedbackArrays, Met


class KolenPollack(AbstractMovingFeedbackRule):
    """dW_l/dt = g_l - lambda W_l, dF_l/dt = g_l - lambda F_l, g_l the feedback-alignment update.

    W - F = e^{-lambda t} (W(0) - F(0)); 1/2 ||W_l||^2 - (k/2) ||F_{l+1}||^2 (per neuron too, with
    hidden biases) decays as e^{-2 lambda t} and is kept for lambda = 0. `decay` = lambda,
    in 1 / time.
    """

    decay: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=0.0)
    equation: ClassVar[str] = "dW_l = g_l - lambda W_l, dF_l = g_l - lambda F_l (g_l as in FA)"
    source: ClassVar[str] = "Kolen & Pollack 1994; Akrout et al. 2019"
    form: ClassVar[Form] = "layerwise"

    def moves(
        self, update: AbstractNetwork, weights: AbstractNetwork, matrices: FeedbackArrays, met: Met
    ) -> State:
        forget = lambda move, value: move - self.decay * value  # noqa: E731
        moved = tuple(map(forget, met(update), matrices))
        return jax.tree.map(forget, update, weights), moved

    def laws(self, weights: AbstractNetwork) -> Laws:
        return balance_laws(weights, MovingFeedbackPotential(), decay=2 * self.decay)
