"""Weights and feedback as they are recorded and stored, by the names of `.npz` files."""

from typing import Any

import equinox as eqx
import jax

from ..._types import Array
from ...feedback import Feedback, feedback_places
from ...flow import FlowProblem
from ...networks import AbstractLayeredNetwork, AbstractNetwork, Model
from ...observables import AbstractObservable
from ...rules import AbstractWeightRule, unmodified

BACK = "feedback."  # before the path of the leaf that a feedback array of a model stands for


class WeightsNow(AbstractObservable):
    """The weights themselves (and the feedback, where it moves), by the names of `.npz` files."""

    moving: bool = eqx.field(static=True)
    label: str = "weights"
    axes: tuple[str, ...] = ()

    def __call__(self, weights, feedback, data) -> dict[str, Any]:
        return named_arrays(weights, feedback if self.moving else Feedback(), data.inputs)


def named_arrays(weights: AbstractNetwork, feedback: Feedback, inputs: Array) -> dict[str, Any]:
    """W1.., b1.. and F2.. or D1.. of a network and its feedback; leaves of a model by their paths,
    its feedback by these after "feedback."; of an infinitely wide one what its flow moves."""
    if isinstance(weights, Model):
        found = dict(zip(weights.paths, jax.tree.leaves(weights), strict=True))
        names = feedback_paths(weights, feedback, inputs)
        return found | dict(zip(names, feedback.matrices, strict=True))
    if not isinstance(weights, AbstractLayeredNetwork):
        return dict(weights.moving)
    letter, first = ("F", 2) if feedback.form == "layerwise" else ("D", 1)
    found = {f"W{i}": array for i, array in enumerate(weights.weights, start=1)}
    found |= {f"b{i}": array for i, array in enumerate(weights.biases, start=1)}
    return found | {f"{letter}{i}": array for i, array in enumerate(feedback.matrices, start=first)}


def feedback_paths(model: Model, feedback: Feedback, inputs: Array) -> list[str]:
    """The names of a model's feedback arrays."""
    return [BACK + place.path for place in feedback_places(model, inputs, feedback.form)]


def feedback_moves(problem: FlowProblem) -> bool:
    """Whether the rule's feedback changes on the way."""
    rule = unmodified(problem.rule)
    return problem.feedback.form != "none" and not isinstance(rule, AbstractWeightRule)
