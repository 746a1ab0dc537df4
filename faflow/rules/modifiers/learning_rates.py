"""Learning rates per layer, fixed or changing with time."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..._types import Record, Scalar
from ...networks import AbstractNetwork
from ...observables import AbstractConservationLaw, Balance
from ..abstract import AbstractLearningRule, Laws
from .modified import (
    AbstractModifiedField,
    PerLayer,
    Point,
    by_layer,
    changed,
    check_field,
    check_numbers,
    law_along,
    layered,
    per_layer,
    predicted_rate,
    unmoved,
)


class AbstractRates(AbstractModifiedField):
    """dW_l/dt = eta_l(t) g_l (biases too)."""

    @abc.abstractmethod
    def at(self, t: Scalar, network: AbstractNetwork) -> PerLayer:
        """eta_1(t), ..., eta_L(t)."""

    def modify(
        self, t: Scalar, update: AbstractNetwork, weights: AbstractNetwork
    ) -> AbstractNetwork:
        return by_layer(self.at(t, weights), update)

    def law_rate(self, law: AbstractConservationLaw, point: Point) -> Record:
        below = predicted_rate(self.rule, law, point)
        update = self.rule.velocity(*point)
        eta = self.at(point.t, point.state)
        # Q_l' = eta_l <d_l Q, g_l> + eta_{l+1} <d_{l+1} Q, g_{l+1}>, and the rule below says what
        # the two products add up to: one of them is enough.
        own = [law_along(law, point, only(layer, update)) for layer in law.layers]
        found = [
            (eta[layer - 1] - eta[layer]) * own[i][i] + eta[layer] * below[i]
            for i, layer in enumerate(law.layers)
        ]
        return tuple(found) if isinstance(below, tuple) else jnp.stack(found)


class LearningRates(AbstractRates):
    """dW_l/dt = eta_l(t) g_l (biases too), eta_l(t) = rates_l e^{-decays_l t}.

    One `decays` for all layers keeps the ratios constant, and with them the weighted balance
    (1/2 ||W_l||^2 + 1/2 ||beta_l||^2) / rates_l - k psi_{l+1} / rates_{l+1}; a common rate keeps
    the plain one. Where ratios change, Q_l' = (1 - eta_{l+1} / eta_l) d/dt 1/2 ||W_l||^2 is
    forecast. `rates` > 0 without unit, `decays` in 1 / time; one for all or one per layer.
    """

    rule: AbstractLearningRule
    rates: Scalar | PerLayer = eqx.field(converter=per_layer, default=1.0)
    decays: Scalar | PerLayer = eqx.field(converter=per_layer, default=0.0)
    equation: ClassVar[str] = "dW_l/dt = eta_l(t) g_l, eta_l(t) = rates_l e^{-decays_l t}"
    source: ClassVar[str] = "per-layer rates: Yang & Hu 2021; laws: docs/laws.md"

    def __check_init__(self):
        check_field(self.rule, "Learning rates")
        check_numbers("rates", self.rates)

    def at(self, t: Scalar, network: AbstractNetwork) -> PerLayer:
        return layered(self.rates, network) * jnp.exp(-t * layered(self.decays, network))

    def laws(self, weights: AbstractNetwork) -> Laws:
        if not _equal(self.decays):
            return {}
        laws = {name: law for name, law in self.rule.laws(weights).items() if _weighable(law)}
        if _equal(self.rates):
            return laws
        rates = layered(self.rates, weights)
        return {name: changed(law, rates=rates) for name, law in laws.items()}


def only(layer: int, network: AbstractNetwork) -> AbstractNetwork:
    """The network with everything but W_layer and beta_layer set to zero."""
    one_hot = jnp.zeros(len(network.weights)).at[layer - 1].set(1.0)
    return by_layer(one_hot, network)


def _equal(values: PerLayer) -> bool:
    """Whether all layers are known to have one value; of traced numbers only a single one is."""
    if len(values) == 1 or isinstance(values, Tracer):
        return len(values) == 1
    return bool(np.ptp(np.asarray(values)) == 0)


def _weighable(law: AbstractConservationLaw) -> bool:
    """Under rates that change with time a decay is no fixed rate any more."""
    return isinstance(law, Balance) and law.rates is None and unmoved(law)
