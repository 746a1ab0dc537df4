"""What linear nets under direct feedback keep below a layer narrower than the output."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Matrix, Record
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..networks.draws import frobenius
from ..tasks import Data
from .laws import AbstractConservationLaw, Balance
from .potentials import FeedbackPotential

ROUNDING = 1e-10  # of ||D_l||: what is smaller is no direction


class SubspaceBalance(AbstractConservationLaw):
    """P (W_l W_l^T + beta_l beta_l^T - F^T W_{l+1} - W_{l+1}^T F) P (n_l, n_l), F = D_{l+1}^+ D_l.

    W_l' hears D_l^T s and W_{l+1}' hears D_{l+1}^T s, s what is fed back. Where n_{l+1} < n_L,
    D_{l+1}^T does not hear all of s, and only along u with D_l u in the columns of D_{l+1} is
    F^T D_{l+1}^T s = D_l^T s. P (n_l, n_l) projects onto these u: n_l - (n_L - n_{l+1})
    dimensions for generic D. Linear nets. Kept for any D.
    """

    layers: tuple[int, ...] = eqx.field(static=True)
    decay: float = 0.0
    quadratic: ClassVar[bool] = True
    label: ClassVar[str] = "subspace balance"
    axes: ClassVar[tuple[str, ...]] = ("neuron", "other_neuron")

    def terms(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> tuple[Array, ...]:
        whole = Balance(FeedbackPotential(), "matrix-balance", self.layers)
        shares = (heard(feedback, layer) for layer in self.layers)
        terms = zip(shares, whole.terms(weights, feedback, data), strict=True)
        return tuple(jnp.einsum("ij,jkt,kl->ilt", share, term, share) for share, term in terms)

    def collect(self, terms: tuple[Array, ...]) -> Record:
        return tuple(jnp.sum(term, axis=-1) for term in terms)


def heard(feedback: Feedback, layer: int) -> Matrix:
    """P (n_l, n_l): the projector onto the u with D_l u in the columns of D_{l+1}."""
    here, above = feedback.matrices[layer - 1], feedback.matrices[layer]
    missed = here - above @ (jnp.linalg.pinv(above) @ here)
    _, sizes, rows = jnp.linalg.svd(missed, full_matrices=False)
    kept = (sizes > ROUNDING * frobenius(here)).astype(rows.dtype)
    return jnp.eye(rows.shape[1], dtype=rows.dtype) - (rows.T * kept[None, :]) @ rows
