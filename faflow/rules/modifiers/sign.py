"""Only the sign of every entry of a field: what Adam is without memory."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from ..._types import Record, Scalar
from ...networks import AbstractLayeredNetwork, AbstractNetwork
from ...observables import AbsoluteBalance, AbstractConservationLaw, hidden_layers, law_degree
from ..abstract import AbstractLearningRule, Laws
from ..layerwise import FeedbackAlignment, Gradient
from .modified import AbstractModifiedField, Point, check_field, law_along


class Sign(AbstractModifiedField):
    """dW/dt = sign(g), entry by entry: Adam with both betas 0, g minus the gradient or any rule's.

    The field jumps wherever an entry of g passes 0, and near a minimum the flow slides along such
    places: it is counted (`faflow laws`), and followed in steps alone, whose size then shows.
    Keeps |W_l| - |W_{l+1}| where every layer has one unit (feedback alignment:
    |W_l| - sign(F_{l+1}) W_{l+1}), and in wider linear nets nothing.
    """

    rule: AbstractLearningRule
    equation: ClassVar[str] = "dW_l/dt = sign(g_l)"
    source: ClassVar[str] = "Kingma & Ba 2015 (betas 0); Marcotte, Gribonval & Peyre 2025"

    def __check_init__(self):
        check_field(self.rule, "Sign")

    def modify(
        self, t: Scalar, update: AbstractNetwork, weights: AbstractNetwork
    ) -> AbstractNetwork:
        return jax.tree.map(jnp.sign, update)

    def law_rate(self, law: AbstractConservationLaw, point: Point) -> Record:
        return law_along(law, point, self.velocity(*point))

    def laws(self, weights: AbstractNetwork) -> Laws:
        if not isinstance(weights, AbstractLayeredNetwork):
            return {}
        layers = hidden_layers(weights)
        single = all(weight.shape == (1, 1) for weight in weights.weights) and not weights.biases
        if not single or not layers or law_degree(weights) is None:
            return {}
        if type(self.rule) not in (Gradient, FeedbackAlignment):
            return {}
        fixed = isinstance(self.rule, FeedbackAlignment)
        return {"absolute-balance": AbsoluteBalance(layers, fixed)}


def jumps(rule: AbstractLearningRule) -> bool:
    """Whether the field is one of signs."""
    inner = getattr(rule, "rule", None)
    return isinstance(rule, Sign) or (isinstance(inner, AbstractLearningRule) and jumps(inner))
