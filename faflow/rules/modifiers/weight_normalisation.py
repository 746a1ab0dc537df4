"""Weight normalisation: length and direction of every neuron's weights as coordinates."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..._types import Array, Scalar
from ...feedback import Feedback
from ...networks import AbstractNetwork
from ...observables import Balance, WeightPotential
from ...tasks import Data
from ..abstract import AbstractLearningRule, Laws, State, WeightsAndFeedback
from .modified import AbstractModifiedRule, changed, check_field


class WeightNormalisation(AbstractModifiedRule):
    """W_l[j] = s_j v_j / ||v_j||; s' = <g, v> / ||v||, v' = (s / ||v||) (g - <g, v> v / ||v||^2).

    g = g_l[j] is the update of the rule below, taken at W; this is its flow in the coordinates
    (s, v), from v = W(0), s = ||W(0)[j]||. `layers`: which (default: all but the read-out); their
    rows must not be zero. Kept: every ||v_j||, since <v, v'> = 0; and, since 1/2 s_j^2 moves as
    1/2 ||W_l[j]||^2 does without normalisation, the layer and neuron balances of a normalised layer
    under one that is not (the matrix's diagonal alone), and the gradient's layer balances all.
    """

    rule: AbstractLearningRule
    layers: tuple[int, ...] | None = eqx.field(static=True, default=None)
    equation: ClassVar[str] = "W_l[j] = s_j v_j / ||v_j||, flow in (s, v)"
    source: ClassVar[str] = "Salimans & Kingma 2016, equations 2-3; laws: docs/laws.md"

    def __check_init__(self):
        check_field(self.rule, "Weight normalisation")

    def chosen(self, weights: AbstractNetwork) -> tuple[int, ...]:
        """The layers that are normalised. ValueError if there is no such layer, or if one has a row
        that is zero."""
        last = len(weights.weights)
        layers = tuple(range(1, last)) if self.layers is None else self.layers
        if wrong := [layer for layer in layers if not 1 <= layer <= last]:
            raise ValueError(
                f"Weight normalisation asks for layer {wrong[0]} of a network of {last} layers; "
                f"give numbers from 1 to {last}."
            )
        for layer in layers:
            _check_rows(layer, weights.weights[layer - 1])
        return layers

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        lengths = {
            layer: jnp.linalg.norm(weights.weights[layer - 1], axis=1)
            for layer in self.chosen(weights)
        }
        return weights, lengths

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        directions, lengths = state
        weights, _ = self.read(state, feedback, data)
        update = self.rule.velocity(t, weights, feedback, data)
        moves, stretch = list(update.weights), {}
        for layer, length in lengths.items():
            g, v = update.weights[layer - 1], directions.weights[layer - 1]
            norm = jnp.linalg.norm(v, axis=1)
            unit = v / norm[:, None]
            stretch[layer] = jnp.sum(g * unit, axis=1)
            turn = g - stretch[layer][:, None] * unit
            moves[layer - 1] = (length / norm)[:, None] * turn
        return _with(update, moves), stretch

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        directions, lengths = state
        weights = list(directions.weights)
        for layer, length in lengths.items():
            v = weights[layer - 1]
            weights[layer - 1] = (length / jnp.linalg.norm(v, axis=1))[:, None] * v
        return _with(directions, weights), feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        normalised = set(self.chosen(weights))
        found = {}
        for name, law in self.rule.laws(weights).items():
            if not isinstance(law, Balance):
                continue
            layers = tuple(l for l in law.layers if l + 1 not in normalised)
            if law.form == "layer-balance" and isinstance(law.potential, WeightPotential):
                layers = law.layers  # psi is itself a sum of 1/2 s_j^2
            if law.form == "matrix-balance":
                layers = tuple(l for l in layers if l not in normalised)
            if layers:
                found[name] = law if layers == law.layers else changed(law, layers=layers)
        return found


def _check_rows(layer: int, weight: Array) -> None:
    if not isinstance(weight, Tracer) and not np.all(np.any(np.asarray(weight) != 0, axis=1)):
        raise ValueError(
            f"Weight normalisation needs rows that are not zero, but layer {layer} has one; start "
            "elsewhere (init), or leave the layer out of `layers`."
        )


def _with(network: AbstractNetwork, weights: list[Array]) -> AbstractNetwork:
    return eqx.tree_at(lambda net: net.weights, network, tuple(weights))
