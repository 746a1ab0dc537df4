"""Weight decay: how fast a law decays, and that it does not decay at 2 lambda in general."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..._types import Record, Scalar
from ...networks import AbstractNetwork
from ...observables import (
    AbstractConservationLaw,
    Balance,
    FeedbackPotential,
    FixedMagnitudeSignPotential,
    UniformSignPotential,
    WeightPotential,
)
from ..abstract import AbstractLearningRule, Laws
from .modified import (
    AbstractModifiedField,
    PerLayer,
    Point,
    by_layer,
    changed,
    check_field,
    law_along,
    layered,
    per_layer,
    predicted_rate,
    unmoved,
)

# <W, d psi / dW> = p psi: the power of psi in W.
POWERS: dict[type, int] = {
    WeightPotential: 2,
    FeedbackPotential: 1,
    UniformSignPotential: 1,
    FixedMagnitudeSignPotential: 1,
}


class WeightDecay(AbstractModifiedField):
    """dW_l/dt = g_l - lambda_l W_l (biases too); `rates` = lambda, 1 / time, one or one per layer.

    The balances of g move as dQ_l/dt = -2 lambda_l Q_l + k (p lambda_{l+1} - 2 lambda_l) psi_{l+1},
    p the power of psi in W (1 for <W, F>, 2 for 1/2 ||W||^2): they decay as e^{-2 lambda_l t} if
    and only if p lambda_{l+1} = 2 lambda_l. Equal rates do that for the gradient, doubling ones for
    feedback alignment. Those laws are claimed; the others are forecast.
    """

    rule: AbstractLearningRule
    rates: Scalar | PerLayer = eqx.field(converter=per_layer, default=0.1)
    equation: ClassVar[str] = "dW_l/dt = g_l - lambda_l W_l"
    source: ClassVar[str] = "Krogh & Hertz 1991; laws: docs/laws.md"

    def __check_init__(self):
        check_field(self.rule, "Weight decay")

    def modify(
        self, t: Scalar, update: AbstractNetwork, weights: AbstractNetwork
    ) -> AbstractNetwork:
        decay = by_layer(layered(self.rates, weights), weights)
        return jax.tree.map(jnp.subtract, update, decay)

    def law_rate(self, law: AbstractConservationLaw, point: Point) -> Record:
        below = predicted_rate(self.rule, law, point)
        decay = by_layer(-layered(self.rates, point.state), point.state)
        return jax.tree.map(jnp.add, below, law_along(law, point, decay))

    def laws(self, weights: AbstractNetwork) -> Laws:
        if isinstance(self.rates, Tracer):
            return {}  # which of them decay is not known
        rates = np.asarray(layered(self.rates, weights))
        found = {}
        for name, law in self.rule.laws(weights).items():
            layers = _matched(law, rates)
            if layers:
                decay = jnp.asarray([2 * rates[l - 1] for l in layers], float)
                found[name] = changed(law, layers=layers, decay=decay)
        return found


def _matched(law: AbstractConservationLaw, rates: np.ndarray) -> tuple[int, ...]:
    """The layers with p lambda_{l+1} = 2 lambda_l, of a law that does not decay already."""
    power = POWERS.get(type(law.potential)) if isinstance(law, Balance) else None
    if power is None or not unmoved(law):
        return ()
    misses = {l: power * rates[l] - 2 * rates[l - 1] for l in law.layers}
    return tuple(l for l, miss in misses.items() if abs(miss) <= 1e-14 * abs(rates[l - 1]))
