"""The field of a net with kinks inside a mode, where it is smooth: gates fixed, sliding pairs held.

On the sliding pairs a_p = 0 and the averaged deltas lambda_p solve dh_p/dt = 0, one linear system,
since the field is affine in them (`flow/piecewise/field.py` has the same for steps).
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array
from ..feedback import Feedback, Form
from ..flow.piecewise.gates import backward
from ..flow.piecewise.pairs import Layout
from ..networks import AbstractNetwork, gated_trace
from ..rules import AbstractLayerwiseRule, AbstractWeightRule, outer_products
from ..rules.abstract import Laws
from ..tasks import Data


class InMode(AbstractWeightRule):
    """`rule` with phi'(h) = `gates` (pairs,), 0 on the sliding pairs; `held` (slots,): which these
    are, the number of pairs where a slot is empty."""

    rule: AbstractLayerwiseRule
    layout: Layout = eqx.field(static=True)
    gates: Array
    held: Array
    equation: ClassVar[str] = "dW/dt inside a mode"
    source: ClassVar[str] = "Filippov 1988"
    form: ClassVar[Form] = "layerwise"

    def vector_field(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        if not self.held.size:
            return self._velocity(weights, feedback, data, None)

        def rates(averaged: Array) -> Array:
            velocity = self._velocity(weights, feedback, data, averaged)
            push = lambda w: self.heights(w, data)  # noqa: E731
            return jax.jvp(push, (weights,), (velocity,))[1][self.held]

        none = jnp.zeros(self.held.size, self.gates.dtype)
        there = self.held < self.layout.pairs
        matrix = jnp.where(there[:, None] & there[None, :], jax.jacfwd(rates)(none), 0.0)
        matrix = matrix + jnp.diag(jnp.where(there, 0.0, 1.0))
        averaged = jnp.linalg.solve(matrix, -jnp.where(there, rates(none), 0.0))
        return self._velocity(weights, feedback, data, averaged)

    def heights(self, weights: AbstractNetwork, data: Data) -> Array:
        """h of every pair, and 0 for an empty slot."""
        trace = gated_trace(weights, data.inputs, self.layout.split(self.gates))
        return jnp.append(self.layout.join(trace.pre[:-1]), 0.0)

    def _velocity(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data, averaged: Array | None
    ) -> AbstractNetwork:
        gates, injected = self.layout.split(self.gates), None
        if averaged is not None:
            all_of = jnp.zeros(self.layout.pairs + 1, averaged.dtype).at[self.held].add(averaged)
            injected = self.layout.split(all_of[:-1])
        trace = gated_trace(weights, data.inputs, gates)
        error = data.error(trace.post[-1])
        back = backward(self.rule, weights, feedback, trace, error, gates, injected)
        return outer_products(weights, trace, back.deltas)

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}
