"""Weights and feedback as they are recorded and stored, by the names of `.npz` files."""

from typing import Any

import equinox as eqx

from ..feedback import Feedback
from ..flow import FlowProblem
from ..observables import AbstractObservable
from ..rules import AbstractWeightRule, unmodified


class WeightsNow(AbstractObservable):
    """The weights themselves (and the feedback, where it moves), by the names of `.npz` files."""

    moving: bool = eqx.field(static=True)
    label: str = "weights"
    axes: tuple[str, ...] = ()

    def __call__(self, weights, feedback, data) -> dict[str, Any]:
        del data
        return named_arrays(weights, feedback if self.moving else Feedback())


def named_arrays(weights, feedback: Feedback) -> dict[str, Any]:
    """W1.., b1.. and F2.. or D1.. of a network and its feedback."""
    letter, first = ("F", 2) if feedback.form == "layerwise" else ("D", 1)
    found = {f"W{i}": array for i, array in enumerate(weights.weights, start=1)}
    found |= {f"b{i}": array for i, array in enumerate(weights.biases, start=1)}
    return found | {f"{letter}{i}": array for i, array in enumerate(feedback.matrices, start=first)}


def feedback_moves(problem: FlowProblem) -> bool:
    """Whether the rule's feedback changes on the way."""
    rule = unmodified(problem.rule)
    return problem.feedback.form != "none" and not isinstance(rule, AbstractWeightRule)
