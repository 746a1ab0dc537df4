"""The control that learns nothing below the read-out."""

from typing import ClassVar

import jax.numpy as jnp

from ..feedback import Form
from .abstract import AbstractLayerwiseRule, backward_sweep


class LastLayerOnly(AbstractLayerwiseRule):
    """delta_L = e (samples, n_L), delta_l = 0 for l < L: only W_L and beta_L move.

    Feedback alignment with F = 0. Any function of the hidden weights is constant; none is named as
    a law.
    """

    equation: ClassVar[str] = "delta_l = 0 for l < L (only W_L and beta_L move)"
    source: ClassVar[str] = "control; 'shallow' in Frenkel, Lefebvre & Bol 2021"
    form: ClassVar[Form] = "none"

    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, map(jnp.zeros_like, weights.weights[1:]), trace, error)

    def laws(self, weights):
        return {}
