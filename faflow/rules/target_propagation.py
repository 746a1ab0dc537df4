"""Difference target propagation with fixed linear feedback, for small targets."""

from collections.abc import Sequence
from itertools import accumulate
from operator import matmul
from typing import ClassVar

from .._types import Array, Outputs
from ..feedback import Form
from ..networks import AbstractNetwork, is_linear
from ..observables import FeedbackPotential, balance_laws
from .abstract import Laws
from .backward import AbstractDirectRule


class FixedWeightDifferenceTargetPropagation(AbstractDirectRule):
    """delta_l = phi'(h_l) . (e F_L F_{L-1} ... F_{l+1}): targets are sent down, activities moved.

    Targets tau_l = a_l + g_{l+1}(tau_{l+1}) - g_{l+1}(a_{l+1}), tau_L = f - s e, with linear
    g_{l+1}(a) = F_{l+1}^T a, and the descent of sum_l ||tau_l - a_l||^2, each layer on its own,
    divided by 2 s. Direct feedback alignment with chained D_l = F_L ... F_{l+1} (n_L, n_l): unlike
    feedback alignment it skips phi' of the layers above. Keeps feedback alignment's laws in the
    last hidden layer, and in linear nets, where the two are one rule, in every layer.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (F_{l+1}^T ... F_L^T e)"
    source: ClassVar[str] = "Shibuya et al. 2023 (FW-DTP, linear feedback, small targets)"
    form: ClassVar[Form] = "layerwise"

    def drive(self, feedback: Sequence[Array], error: Outputs) -> tuple[Array, ...]:
        return tuple(accumulate(feedback[::-1], matmul, initial=error))[:0:-1]

    def laws(self, weights: AbstractNetwork) -> Laws:
        last = len(weights.weights) - 1
        layers = tuple(range(1, last + 1)) if is_linear(weights) else (last,)
        return balance_laws(weights, FeedbackPotential(), layers=layers)
