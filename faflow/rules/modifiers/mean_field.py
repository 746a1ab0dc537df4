"""Learning rates of the mean-field (maximal-update) scaling, in which wide networks learn features.

Bordelon & Pehlevan 2022: f = w . phi(h^L) / (gamma_0 N), h^{l+1} = W^l phi(h^l) / sqrt N,
h^1 = W^0 x / sqrt D, entries N(0, 1), every weight at the rate gamma_0^2 N. Here a layer's
prefactor c_l is part of its matrix, c_l theta_l, which then moves at c_l^2 gamma_0^2 N.
"""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from ..._types import Scalar
from ...networks import AbstractNetwork, widths
from ..abstract import AbstractLearningRule, Laws
from .learning_rates import AbstractRates, LearningRates
from .modified import PerLayer, check_field, check_numbers


def mean_field_rates(sizes: Sequence[int], richness: Scalar | float = 1.0) -> PerLayer:
    """(eta_1, ..., eta_L) for widths (n_0, ..., n_L): gamma_0^2 N / n_{l-1} for l < L, and 1 / N.

    N = n_{L-1}, gamma_0 = `richness`. With hidden layers of one width N over D inputs that is
    gamma_0^2 N / D, gamma_0^2, ..., gamma_0^2, 1 / N.
    """
    into = jnp.asarray(sizes[:-1], float)
    return (jnp.asarray(richness, float) ** 2 * into[-1] / into).at[-1].set(1 / into[-1])


class MeanFieldRates(AbstractRates):
    """dW_l/dt = eta_l g_l, eta_l = gamma_0^2 N / n_{l-1} below the read-out, whose rate is 1 / N.

    `richness` = gamma_0 > 0: how far features move while f moves by 1; to 0 is the lazy limit. The
    kernel of df/dt = -K e is of order 1 at any width, for weights and feedback of the kind
    `mean-field` and the same richness. Biases move at their layer's rate (the paper has none).
    """

    rule: AbstractLearningRule
    richness: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=1.0)
    equation: ClassVar[str] = "dW_l/dt = eta_l g_l, eta_l = gamma_0^2 N / n_{l-1}, eta_L = 1 / N"
    source: ClassVar[str] = "Bordelon & Pehlevan 2022; Yang & Hu 2021"

    def __check_init__(self):
        check_field(self.rule, "Mean-field rates")
        check_numbers("richness", self.richness)

    def at(self, t: Scalar, network: AbstractNetwork) -> PerLayer:
        return mean_field_rates(widths(network), self.richness)

    def laws(self, weights: AbstractNetwork) -> Laws:
        rates = mean_field_rates(widths(weights), self.richness)
        return LearningRates(rule=self.rule, rates=rates).laws(weights)
