"""Gradient descent, feedback alignment and direct feedback alignment as flows."""

from collections.abc import Sequence
from typing import ClassVar

from .._types import Array, Outputs, PyTree
from ..feedback import Form
from ..networks import AbstractNetwork
from ..observables import FeedbackPotential, WeightPotential, balance_laws
from .abstract import Laws
from .backward import AbstractChainRule, AbstractDirectRule
from .direct_laws import direct_laws


class Gradient(AbstractChainRule):
    """delta_l = phi'(h_l) . (W_{l+1}^T delta_{l+1}): minus the gradient of the loss.

    Keeps 1/2 ||W_l||^2 - (k/2) ||W_{l+1}||^2, per neuron too, and in linear nets
    W_l W_l^T - W_{l+1}^T W_{l+1}.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (W_{l+1}^T delta_{l+1})"
    source: ClassVar[str] = "Rumelhart, Hinton & Williams 1986; laws: Du, Hu & Lee 2018"
    form: ClassVar[Form] = "none"

    def backward(self, weights: PyTree[Array], feedback: PyTree[Array]) -> PyTree[Array]:
        return weights

    def laws(self, weights: AbstractNetwork) -> Laws:
        return balance_laws(weights, WeightPotential())


class FeedbackAlignment(AbstractChainRule):
    """delta_l = phi'(h_l) . (F_{l+1}^T delta_{l+1}), F fixed.

    Keeps 1/2 ||W_l||^2 - k <W_{l+1}, F_{l+1}>, per neuron too, and in linear nets
    W_l W_l^T - F_{l+1}^T W_{l+1} - W_{l+1}^T F_{l+1}.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (F_{l+1}^T delta_{l+1})"
    source: ClassVar[str] = "Lillicrap et al. 2016; laws: Robertson & Koyejo 2023, Theorem 1"
    form: ClassVar[Form] = "layerwise"

    def backward(self, weights: PyTree[Array], feedback: PyTree[Array]) -> PyTree[Array]:
        return feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        return balance_laws(weights, FeedbackPotential())


class DirectFeedbackAlignment(AbstractDirectRule):
    """delta_l = phi'(h_l) . (D_l^T e), D_l (n_L, n_l) fixed.

    Keeps feedback alignment's laws in the last hidden layer, with F_L = D_{L-1}; in linear nets in
    every layer l with n_{l+1} >= n_L, with F_{l+1} = D_{l+1}^+ D_l, and below a narrower layer on
    the subspace that it hears (`SubspaceBalance`).
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (D_l^T e)"
    source: ClassVar[str] = "Nokland 2016; laws: Robertson & Koyejo 2023, Theorem 2's setting"
    form: ClassVar[Form] = "direct"

    def drive(self, feedback: Sequence[Array], error: Outputs) -> list[Array]:
        return [error @ matrix for matrix in feedback]

    def laws(self, weights: AbstractNetwork) -> Laws:
        return direct_laws(weights, last=True)
