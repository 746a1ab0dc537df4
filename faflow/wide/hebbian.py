"""Error-modulated Hebb in the mean-field scaling."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork
from ..rules import AbstractWeightRule, Hebbian
from ..rules.abstract import Laws
from ..tasks import Data


class MeanFieldHebbian(AbstractWeightRule):
    """W_l' = gamma_0 / n_{l-1} sum_mu e^2 a_l a_{l-1}^T, W_L' = -1 / N sum_mu e a_{L-1}^T.

    Bordelon & Pehlevan's gt = Delta phi(h) has no 1 / (gamma_0 N), which other rules have from the
    feedback: hidden layers move at gamma_0 in place of the gamma_0^2 N of `MeanFieldRates`.
    """

    richness: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=1.0)
    equation: ClassVar[str] = "W_l' = gamma_0 / n_{l-1} sum e^2 a_l a_{l-1}^T, read-out -1/N e a^T"
    source: ClassVar[str] = "Bordelon & Pehlevan 2022"
    form: ClassVar[Form] = "none"

    def vector_field(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        inner = Hebbian()
        state = inner.init(weights, feedback, data)
        moves = inner.velocity(jnp.zeros(()), state, feedback, data)
        last = len(moves.weights) - 1
        scaled = tuple(
            (1.0 if layer == last else self.richness) / move.shape[1] * move
            for layer, move in enumerate(moves.weights)
        )
        return eqx.tree_at(lambda net: net.weights, moves, scaled)

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}
