"""Sign symmetry: feedback that follows the signs of the weights, but not their sizes.

W_l' does not depend on sign(W_l), so a weight that changes sign crosses 0 smoothly, and the laws,
whose psi is continuous there, hold across it. What jumps is W_{l-1}', and solvers lose order at
that instant.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, PyTree, Scalar
from ..feedback import Form
from ..networks import AbstractNetwork
from ..observables import FixedMagnitudeSignPotential, UniformSignPotential, balance_laws
from .abstract import Laws
from .backward import AbstractChainRule


class UniformSignSymmetry(AbstractChainRule):
    """delta_l = phi'(h_l) . (delta_{l+1} G_{l+1}), G = scale sign(W) (n_{l+1}, n_l), sign(0) = 0.

    Keeps 1/2 ||W_l||^2 - k scale ||W_{l+1}||_1 (entrywise norm), per neuron too; no matrix law in
    linear nets, since the signs have no matrix M with M' = G^T W' + W'^T G.
    """

    scale: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=1.0)
    equation: ClassVar[str] = "delta_l = phi'(h_l) . (scale sign(W_{l+1})^T delta_{l+1})"
    source: ClassVar[str] = "Liao, Leibo & Poggio 2016 (uSF); law: psi = scale ||W||_1"
    form: ClassVar[Form] = "none"

    def backward(self, weights: PyTree[Array], feedback: PyTree[Array]) -> PyTree[Array]:
        return jax.tree.map(lambda W: self.scale * jnp.sign(W), weights)

    def laws(self, weights: AbstractNetwork) -> Laws:
        return balance_laws(weights, UniformSignPotential(self.scale))


class FixedMagnitudeSignSymmetry(AbstractChainRule):
    """delta_l = phi'(h_l) . (delta_{l+1} G_{l+1}), G = |M| . sign(W), M the feedback (W's shape).

    Keeps 1/2 ||W_l||^2 - k sum |M_{l+1}| |W_{l+1}|, per neuron too; no matrix law in linear nets.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . ((|M_{l+1}| . sign(W_{l+1}))^T delta_{l+1})"
    source: ClassVar[str] = "Liao, Leibo & Poggio 2016 (frSF); law: psi = sum |M| |W|"
    form: ClassVar[Form] = "layerwise"

    def backward(self, weights: PyTree[Array], feedback: PyTree[Array]) -> PyTree[Array]:
        return jax.tree.map(lambda W, M: jnp.abs(M) * jnp.sign(W), weights, feedback)

    def laws(self, weights: AbstractNetwork) -> Laws:
        return balance_laws(weights, FixedMagnitudeSignPotential())
