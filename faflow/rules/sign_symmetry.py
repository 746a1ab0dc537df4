"""Sign symmetry: feedback that follows the signs of the weights, but not their sizes.

W_l' does not depend on sign(W_l), so a weight that changes sign crosses 0 smoothly, and the laws,
whose psi is continuous there, hold across it. What jumps is W_{l-1}', and solvers lose order at
that instant.
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Scalar
from ..feedback import Form
from ..observables import FixedMagnitudeSignPotential, UniformSignPotential, balance_laws
from .abstract import AbstractLayerwiseRule, backward_sweep


class UniformSignSymmetry(AbstractLayerwiseRule):
    """delta_l = phi'(h_l) . (delta_{l+1} G_{l+1}), G = scale sign(W) (n_{l+1}, n_l), sign(0) = 0.

    Keeps 1/2 ||W_l||^2 - k scale ||W_{l+1}||_1 (entrywise norm), per neuron too; no matrix law in
    linear nets, since the signs have no matrix M with M' = G^T W' + W'^T G.
    """

    scale: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=1.0)
    equation: ClassVar[str] = "delta_l = phi'(h_l) . (scale sign(W_{l+1})^T delta_{l+1})"
    source: ClassVar[str] = "Liao, Leibo & Poggio 2016 (uSF); law: psi = scale ||W||_1"
    form: ClassVar[Form] = "none"

    def deltas(self, weights, feedback, trace, error):
        signs = (self.scale * jnp.sign(weight) for weight in weights.weights[1:])
        return backward_sweep(weights, signs, trace, error)

    def laws(self, weights):
        return balance_laws(weights, UniformSignPotential(self.scale))


class FixedMagnitudeSignSymmetry(AbstractLayerwiseRule):
    """delta_l = phi'(h_l) . (delta_{l+1} G_{l+1}), G = |M| . sign(W), M the feedback (W's shape).

    Keeps 1/2 ||W_l||^2 - k sum |M_{l+1}| |W_{l+1}|, per neuron too; no matrix law in linear nets.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . ((|M_{l+1}| . sign(W_{l+1}))^T delta_{l+1})"
    source: ClassVar[str] = "Liao, Leibo & Poggio 2016 (frSF); law: psi = sum |M| |W|"
    form: ClassVar[Form] = "layerwise"

    def deltas(self, weights, feedback, trace, error):
        pairs = zip(feedback.matrices, weights.weights[1:], strict=True)
        signed = (jnp.abs(matrix) * jnp.sign(weight) for matrix, weight in pairs)
        return backward_sweep(weights, signed, trace, error)

    def laws(self, weights):
        return balance_laws(weights, FixedMagnitudeSignPotential())
