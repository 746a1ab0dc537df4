"""The control that learns nothing below the read-out."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from .._types import Array, PyTree
from ..feedback import Form
from ..networks import AbstractNetwork
from .abstract import Laws
from .backward import AbstractChainRule


class LastLayerOnly(AbstractChainRule):
    """delta_L = e (samples, n_L), delta_l = 0 for l < L: only W_L and beta_L move.

    Feedback alignment with F = 0. Any function of the hidden weights is constant; none is named as
    a law.
    """

    equation: ClassVar[str] = "delta_l = 0 for l < L (only W_L and beta_L move)"
    source: ClassVar[str] = "control; 'shallow' in Frenkel, Lefebvre & Bol 2021"
    form: ClassVar[Form] = "none"

    def backward(self, weights: PyTree[Array], feedback: PyTree[Array]) -> PyTree[Array]:
        return jax.tree.map(jnp.zeros_like, weights)

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}
