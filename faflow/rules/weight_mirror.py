"""Weight mirror: feedback that is taught the forward weights by noise."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Scalar
from ..feedback import Form
from ..networks import AbstractNetwork
from .abstract import Laws, State
from .moving_feedback import AbstractMovingFeedbackRule, FeedbackArrays, Met


class WeightMirror(AbstractMovingFeedbackRule):
    """dW_l/dt as in FA with the present F; dF_l/dt = gain W_l - decay F_l (n_l, n_{l-1}).

    The mean over the noise of the mirror phase: noise of variance sigma^2 in layer l - 1 and what
    it makes of layer l correlate as sigma^2 W_l, and `gain` = c sigma^2 with c the mirror's
    learning rate. F forgets at the rate `decay` and tends to (gain / decay) W where W is at rest.
    Both in 1 / time. Keeps no known law.
    """

    gain: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=1.0)
    decay: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=1.0)
    equation: ClassVar[str] = "dW_l = g_l (as in FA), dF_l = gain W_l - decay F_l"
    source: ClassVar[str] = "Akrout et al. 2019 (its mean over the noise)"
    form: ClassVar[Form] = "layerwise"

    def moves(
        self, update: AbstractNetwork, weights: AbstractNetwork, matrices: FeedbackArrays, met: Met
    ) -> State:
        mirror = lambda weight, matrix: self.gain * weight - self.decay * matrix  # noqa: E731
        return update, tuple(map(mirror, met(weights), matrices))

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}
