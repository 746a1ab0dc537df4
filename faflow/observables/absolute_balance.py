"""What sign flows keep in nets of one unit a layer."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Record
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..tasks import Data
from .laws import AbstractConservationLaw


class AbsoluteBalance(AbstractConservationLaw):
    """|W_l| - |W_{l+1}|, or |W_l| - sign(F_{l+1}) W_{l+1} if feedback is `fixed`; widths all 1.

    W_l g_l = k G_{l+1} g_{l+1}, G = W or F, so that sign(W_l) sign(g_l) = sign(G) sign(g_{l+1}).
    """

    layers: tuple[int, ...] = eqx.field(static=True)
    fixed: bool = eqx.field(static=True)
    decay: float = 0.0
    quadratic: ClassVar[bool] = False
    label: ClassVar[str] = "absolute balance"
    axes: ClassVar[tuple[str, ...]] = ("hidden_layer",)

    def terms(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> tuple[Array, ...]:
        del data

        def upper(layer: int) -> Array:
            above = weights.weights[layer]
            if not self.fixed:
                return jnp.abs(above)
            return jnp.sign(feedback.matrices[layer - 1]) * above

        return tuple(
            jnp.stack([jnp.abs(weights.weights[l - 1]).sum(), -upper(l).sum()]) for l in self.layers
        )

    def collect(self, terms: tuple[Array, ...]) -> Record:
        return jnp.stack([jnp.sum(term) for term in terms])
