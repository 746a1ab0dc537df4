"""Monotone direct feedback: nonnegative weights above the first layer, nonnegative feedback."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Outputs, Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractActivation, AbstractNetwork, Trace, backward_activation
from ..tasks import Data
from .abstract import AbstractLearningRule, Laws, State, WeightsAndFeedback
from .backward import direct_sweep, outer_products

REACH = 30.0  # derivatives are looked at for |h| up to this


class MonotoneDirectFeedback(AbstractLearningRule):
    """delta_l = phi'(h_l) . (e |D_l|) (samples, n_l), |D_l| (1, n_l), while W_l >= floor, l >= 2.

    With one output and a monotone phi every path from a unit to the output has a positive weight,
    so the signs of delta are backprop's, for every unit and sample. Lechner clips W_l at 1e-6 after
    every step. The flow of that is the projected dynamical system (Dupuis & Nagurney 1993): an
    entry at `floor` doesn't move down, W' = max(g, 0), and elsewhere W' = g. What a solver's step
    leaves below the floor is read as the floor. W_1 is free. Our choice: the flow starts from
    max(|W_l(0)|, floor), whatever the signs drawn. Names no law: the floor breaks direct feedback
    alignment's. Needs one output and a monotone phi.
    """

    floor: Scalar = eqx.field(converter=lambda x: jnp.asarray(x, float), default=1e-6)
    equation: ClassVar[str] = "delta_l = phi'(h_l) . (|D_l|^T e), W_l >= floor for l >= 2"
    source: ClassVar[str] = "Lechner 2020 (mDFA); projected flow: Dupuis & Nagurney 1993"
    form: ClassVar[Form] = "direct"

    def deltas(
        self, weights: AbstractNetwork, feedback: Feedback, trace: Trace, error: Outputs
    ) -> tuple[Array, ...]:
        """(delta_1, ..., delta_L), delta_L = `error`."""
        return direct_sweep(weights, map(jnp.abs, feedback.matrices), trace, error, error)

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        outputs = weights.weights[-1].shape[0]
        if outputs != 1:
            raise ValueError(
                "Rule monotone-direct-feedback needs one output, but the network has "
                f"{outputs}; end network.widths in 1."
            )
        phi = backward_activation(weights)
        if not is_monotone(phi):
            raise ValueError(
                "Rule monotone-direct-feedback needs a monotone activation, but "
                f"{type(phi).__name__} falls somewhere; choose another "
                "network.activation."
            )
        return _above(weights, lambda weight: jnp.maximum(jnp.abs(weight), self.floor))

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        weights, back = self.read(state, feedback, data)
        trace = weights.trace(data.inputs)
        deltas = self.deltas(weights, back, trace, data.error(trace.outputs))
        move = outer_products(weights, trace, deltas)
        held = [
            jnp.where(weight > self.floor, g, jnp.maximum(g, 0))
            for weight, g in zip(state.weights[1:], move.weights[1:], strict=True)
        ]
        return eqx.tree_at(lambda net: net.weights, move, (move.weights[0], *held))

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        # At the floor itself the derivative is that of W: it may rise.
        weights = _above(state, lambda weight: jnp.where(weight >= self.floor, weight, self.floor))
        return weights, Feedback(tuple(map(jnp.abs, feedback.matrices)), "direct")

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}


def is_monotone(activation: AbstractActivation) -> bool:
    """Whether the derivative that the backward pass uses is nowhere negative (on a grid)."""
    with jax.ensure_compile_time_eval():
        slopes = activation.derivative(jnp.linspace(-REACH, REACH, 6001))
        return not bool(jnp.any(slopes < 0))


def _above(weights: AbstractNetwork, change: Callable[[Array], Array]) -> AbstractNetwork:
    """W_2, ..., W_L changed."""
    changed = (weights.weights[0], *map(change, weights.weights[1:]))
    return eqx.tree_at(lambda net: net.weights, weights, changed)
