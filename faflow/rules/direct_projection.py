"""Direct feedback of less than the error: of its signs, or of the targets alone.

Neither is linear in the error, so these are no layerwise rules. Both drives carry the data's
`weight`, which under "mean" is 1/samples: it rescales time, as everywhere.
"""

import abc
from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp

from .._types import Array, Outputs
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork, Model
from ..tasks import Data
from .abstract import AbstractWeightRule, Laws
from .backward import direct_sweep, outer_products
from .direct_laws import direct_laws
from .models.model_field import direct_field


class AbstractDirectProjection(AbstractWeightRule):
    """delta_l = phi'(h_l) . (s D_l), delta_L = e, whatever the drive s (samples, n_L)."""

    @abc.abstractmethod
    def drive(self, outputs: Outputs, data: Data) -> Outputs:
        """s (samples, n_L), what every hidden layer hears."""

    def vector_field(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        if isinstance(weights, Model):
            return direct_field(self.heard, weights, feedback, data)
        trace = weights.trace(data.inputs)
        drive, error = self.drive(trace.outputs, data), data.error(trace.outputs)
        deltas = direct_sweep(weights, feedback.matrices, trace, drive, error)
        return outer_products(weights, trace, deltas)

    def heard(self, matrices: Sequence[Array], outputs: Array, data: Data) -> Sequence[Array]:
        """What the blocks of a model hear."""
        drive = self.drive(outputs, data).reshape(len(outputs), -1)
        return [drive @ matrix for matrix in matrices]

    def laws(self, weights: AbstractNetwork) -> Laws:
        return direct_laws(weights, last=False)


class SignErrorDirectFeedback(AbstractDirectProjection):
    """delta_l = phi'(h_l) . (sign(e) D_l), delta_L = e (samples, n_L), D_l (n_L, n_l).

    The sign is taken sample by sample. Below the last hidden layer linear nets keep direct feedback
    alignment's laws, whatever the drive (`direct_laws`). The last hidden layer keeps none: it moves
    with sign(e), the read-out with e.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (D_l^T sign(e)), delta_L = e"
    source: ClassVar[str] = "Frenkel, Lefebvre & Bol 2021 (sDFA)"
    form: ClassVar[Form] = "direct"

    def drive(self, outputs: Outputs, data: Data) -> Outputs:
        return data.weighed(jnp.sign(data.derivative(outputs)))


class DirectRandomTargetProjection(AbstractDirectProjection):
    """delta_l = phi'(h_l) . (y D_l), delta_L = e; y (samples, n_L) the targets, D_l (n_L, n_l).

    y and not -y, as in the authors' code: the sign is one of D's. Hidden layers never stop moving,
    not even at zero error. Keeps the laws that the signs of the error keep, in linear nets.
    """

    equation: ClassVar[str] = "delta_l = phi'(h_l) . (D_l^T y), delta_L = e"
    source: ClassVar[str] = "Frenkel, Lefebvre & Bol 2021 (DRTP)"
    form: ClassVar[Form] = "direct"

    def drive(self, outputs: Outputs, data: Data) -> Outputs:
        return data.weighed(data.targets)
