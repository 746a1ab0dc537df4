"""Weight normalisation: length and direction of every neuron's weights as coordinates."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..._types import Array, Scalar
from ...feedback import Feedback
from ...networks import AbstractNetwork, Model
from ...networks.model import is_named
from ...observables import Balance, WeightPotential
from ...tasks import Data
from ..abstract import AbstractLearningRule, Laws, State, WeightsAndFeedback
from .modified import AbstractModifiedRule, changed, check_field


class WeightNormalisation(AbstractModifiedRule):
    """W_l[j] = s_j v_j / ||v_j||; s' = <g, v> / ||v||, v' = (s / ||v||) (g - <g, v> v / ||v||^2).

    g = g_l[j] is the update of the rule below, taken at W; this is its flow in the coordinates
    (s, v), from v = W(0), s = ||W(0)[j]||. `layers`: which (default: all but the read-out); their
    rows must not be zero. In a model they are globs over the paths of leaves, to be given since a
    model does not tell its read-out, and row j is all that lies at j along the first axis (a unit
    of `eqx.nn.Linear`, a filter of `Conv`). Kept: every ||v_j||, since <v, v'> = 0; and, since
    1/2 s_j^2 moves as 1/2 ||W_l[j]||^2 does without normalisation, the layer and neuron balances of
    a normalised layer under one that is not (the matrix's diagonal alone), and the gradient's layer
    balances all.
    """

    rule: AbstractLearningRule
    layers: tuple[int, ...] | tuple[str, ...] | None = eqx.field(static=True, default=None)
    equation: ClassVar[str] = "W_l[j] = s_j v_j / ||v_j||, flow in (s, v)"
    source: ClassVar[str] = "Salimans & Kingma 2016, equations 2-3; laws: docs/laws.md"

    def __check_init__(self):
        check_field(self.rule, "Weight normalisation")

    def chosen(self, weights: AbstractNetwork) -> tuple[int, ...] | tuple[str, ...]:
        """The layers that are normalised, or a model's leaves. ValueError if there is no such
        layer, or if one has a row that is zero."""
        arrays = _arrays(weights)
        if isinstance(weights, Model):
            chosen = _leaves(self.layers, weights)
        else:
            chosen = _layers(self.layers, len(weights.weights))
        for layer in chosen:
            _check_rows(layer, arrays[layer])
        return chosen

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        arrays = _arrays(weights)
        return weights, {layer: _lengths(arrays[layer]) for layer in self.chosen(weights)}

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        directions, lengths = state
        weights, _ = self.read(state, feedback, data)
        update = self.rule.velocity(t, weights, feedback, data)
        updates, arrays, moves, stretch = _arrays(update), _arrays(directions), {}, {}
        for layer, length in lengths.items():
            v = arrays[layer]
            g, norm = updates[layer], _lengths(v)
            unit = v / _per_row(norm, v)
            stretch[layer] = jnp.sum((g * unit).reshape(len(v), -1), axis=1)
            turn = g - _per_row(stretch[layer], v) * unit
            moves[layer] = _per_row(length / norm, v) * turn
        return _with(update, moves), stretch

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        directions, lengths = state
        arrays = _arrays(directions)
        weights = {
            layer: _per_row(length / _lengths(arrays[layer]), arrays[layer]) * arrays[layer]
            for layer, length in lengths.items()
        }
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


def _layers(layers: Any, last: int) -> tuple[int, ...]:
    chosen = tuple(range(1, last)) if layers is None else layers
    if wrong := [one for one in chosen if isinstance(one, str) or not 1 <= one <= last]:
        raise ValueError(
            f"Weight normalisation asks for layer {wrong[0]} of a network of {last} layers; "
            f"give numbers from 1 to {last}."
        )
    return chosen


def _leaves(globs: Any, model: Model) -> tuple[str, ...]:
    paths = ", ".join(path for path, leaf in _arrays(model).items() if leaf.ndim > 1)
    if globs is None or not all(isinstance(glob, str) for glob in globs):
        raise ValueError(
            "Weight normalisation of a model wants its leaves by path, since a model does not tell "
            f"its read-out; give `layers`, globs such as 'blocks.*.weight', of {paths}."
        )
    chosen = []
    for glob in globs:
        named = [path for path in model.paths if is_named(glob, path)]
        if not named:
            raise ValueError(
                f"Weight normalisation asks for '{glob}', which names no leaf; it has {paths}."
            )
        chosen += named
    if flat := [path for path in chosen if _arrays(model)[path].ndim < 2]:
        raise ValueError(
            f"Weight normalisation asks for `{flat[0]}`, which has no rows; give leaves of {paths}."
        )
    return tuple(dict.fromkeys(chosen))


def _arrays(network: AbstractNetwork) -> dict[Any, Array]:
    """The matrices by layer, or a model's leaves by path."""
    if isinstance(network, Model):
        return dict(zip(network.paths, jax.tree.leaves(network), strict=True))
    return dict(enumerate(network.weights, start=1))


def _lengths(weight: Array) -> Array:
    return jnp.linalg.norm(weight.reshape(len(weight), -1), axis=1)


def _per_row(values: Array, weight: Array) -> Array:
    return values.reshape(-1, *[1] * (weight.ndim - 1))


def _check_rows(layer: int | str, weight: Array) -> None:
    rows = weight.reshape(len(weight), -1)
    if not isinstance(weight, Tracer) and not np.all(np.any(np.asarray(rows) != 0, axis=1)):
        raise ValueError(
            f"Weight normalisation needs rows that are not zero, but layer {layer} has one; start "
            "elsewhere (init), or leave the layer out of `layers`."
        )


def _with(network: AbstractNetwork, changes: dict[Any, Array]) -> AbstractNetwork:
    arrays = list((_arrays(network) | changes).values())
    if isinstance(network, Model):
        return jax.tree.unflatten(jax.tree.structure(network), arrays)
    return eqx.tree_at(lambda net: net.weights, network, tuple(arrays))
