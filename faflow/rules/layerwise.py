"""Gradient descent, feedback alignment and direct feedback alignment as flows."""

from itertools import accumulate
from typing import ClassVar

from ..feedback import Form
from ..observables import FeedbackPotential, WeightPotential, balance_laws
from .abstract import AbstractLayerwiseRule, backward_sweep, direct_sweep
from .direct_laws import direct_laws
from .linear_field import chain_factors


class Gradient(AbstractLayerwiseRule):
    """delta_l = phi'(h_l) . (W_{l+1}^T delta_{l+1}): minus the gradient of the loss.

    Keeps 1/2 ||W_l||^2 - (k/2) ||W_{l+1}||^2, per neuron too, and in linear nets
    W_l W_l^T - W_{l+1}^T W_{l+1}.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (W_{l+1}^T delta_{l+1})"
    source: ClassVar[str] = "Rumelhart, Hinton & Williams 1986; laws: Du, Hu & Lee 2018"
    form: ClassVar[Form] = "none"

    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, weights.weights[1:], trace, error)

    def laws(self, weights):
        return balance_laws(weights, WeightPotential())


class FeedbackAlignment(AbstractLayerwiseRule):
    """delta_l = phi'(h_l) . (F_{l+1}^T delta_{l+1}), F fixed.

    Keeps 1/2 ||W_l||^2 - k <W_{l+1}, F_{l+1}>, per neuron too, and in linear nets
    W_l W_l^T - F_{l+1}^T W_{l+1} - W_{l+1}^T F_{l+1}.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (F_{l+1}^T delta_{l+1})"
    source: ClassVar[str] = "Lillicrap et al. 2016; laws: Robertson & Koyejo 2023, Theorem 1"
    form: ClassVar[Form] = "layerwise"

    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, feedback.matrices, trace, error)

    def laws(self, weights):
        return balance_laws(weights, FeedbackPotential())


class DirectFeedbackAlignment(AbstractLayerwiseRule):
    """delta_l = phi'(h_l) . (D_l^T e), D_l (n_L, n_l) fixed.

    Keeps feedback alignment's laws in the last hidden layer, with F_L = D_{L-1}; in linear nets in
    every layer l with n_{l+1} >= n_L, with F_{l+1} = D_{l+1}^+ D_l, and below a narrower layer on
    the subspace that it hears (`SubspaceBalance`).
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (D_l^T e)"
    source: ClassVar[str] = "Nokland 2016; laws: Robertson & Koyejo 2023, Theorem 2's setting"
    form: ClassVar[Form] = "direct"

    def deltas(self, weights, feedback, trace, error):
        return direct_sweep(weights, feedback.matrices, trace, error, error)

    def laws(self, weights):
        return direct_laws(weights, last=True)


@chain_factors.register
def _(rule: Gradient, weights, feedback):
    return _products(weights.weights[1:])


@chain_factors.register
def _(rule: FeedbackAlignment, weights, feedback):
    return _products(feedback.matrices)


@chain_factors.register
def _(rule: DirectFeedbackAlignment, weights, feedback):
    return feedback.matrices


def _products(matrices):
    """(M_L ... M_2, ..., M_L M_{L-1}, M_L) of M_2..M_L."""
    return tuple(accumulate(matrices[::-1], lambda above, matrix: above @ matrix))[::-1]
