"""Observables by the names that configs use, and when each of them makes sense."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..analysis import is_factorisation, is_linear_squares
from ..analysis.law_keeping import knows_velocity
from ..config.kinds.kinds import FITTED
from ..feedback import Feedback
from ..flow import FlowProblem
from ..observables import (
    AbstractConservationLaw,
    AbstractObservable,
    Alignment,
    BackProjectedResidual,
    Loss,
    MapDistance,
    Norms,
    Residual,
    ScaleOf,
)
from ..population import AbstractPopulationRule, Overlaps, PopulationLoss
from ..rules import (
    AbstractLayerwiseRule,
    AbstractWeightRule,
    DeltaAlignment,
    Exponent,
    Speed,
    unmodified,
)
from ..tasks import feedback_limit, minimum_norm_map
from .exact_solution import exact_distance
from .kernel import kernel_observable

Observed = dict[str, AbstractObservable]


class Entry(NamedTuple):
    """What a name records, in a sentence, and how to make it; `build` raises ValueError."""

    about: str
    build: Callable[[str, FlowProblem], Observed]


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


def law_observables(laws: dict[str, tuple[AbstractConservationLaw, bool]]) -> Observed:
    """Every law and, as `<law>_scale`, the sum of its terms' sizes."""
    found: Observed = {}
    for name, (law, _) in laws.items():
        found |= {name: law, f"{name}_scale": ScaleOf(law)}
    return found


# ---- the others ---------------------------------------------------------------------------------


def _plain(make: Callable[[], AbstractObservable]) -> Callable[[str, FlowProblem], Observed]:
    return lambda name, problem: {name: make()}


# What a rule lacks is left out (and said in the summary's warnings) rather than refused, so that
# one config serves every rule.


def _with_feedback(make: Callable[[], AbstractObservable]):
    return lambda name, problem: {name: make()} if problem.feedback.matrices else {}


def _delta_alignment(name: str, problem: FlowProblem) -> Observed:
    rule = unmodified(problem.rule)
    if not isinstance(rule, AbstractLayerwiseRule) or len(problem.weights.weights) < 2:
        return {}
    return {name: DeltaAlignment(rule)}


def _population(make: Callable[..., AbstractObservable]):
    def build(name: str, problem: FlowProblem) -> Observed:
        rule = problem.rule
        return {name: make(rule.known())} if isinstance(rule, AbstractPopulationRule) else {}

    return build


def _fitted(name: str, problem: FlowProblem) -> Observed:
    return {"residual": Residual()}


def _exponent(name: str, problem: FlowProblem) -> Observed:
    found: Observed = {"residual": Residual()}
    return {name: Exponent(problem.rule), **found} if knows_velocity(problem) else found


def _speed(name: str, problem: FlowProblem) -> Observed:
    return {name: Speed(problem.rule)} if knows_velocity(problem) else {}


def _kernel(name: str, problem: FlowProblem) -> Observed:
    kernel = kernel_observable(problem)
    return {} if kernel is None else {name: kernel}


def _minimum_norm(name: str, problem: FlowProblem) -> Observed:
    if not is_linear_squares(problem.weights, problem.data):
        raise ValueError("needs a linear network without biases and the squared loss")
    answer = jnp.asarray(minimum_norm_map(problem.data), float)
    return {name: MapDistance(answer=answer, label="relative distance to the minimum-norm map")}


def _low_rank_limit(name: str, problem: FlowProblem) -> Observed:
    if not problem.feedback.matrices or not is_factorisation(problem.weights, problem.data):
        needs = "needs two linear layers without biases, feedback, the squared loss and identity"
        raise ValueError(f"{needs} inputs (matrix-factorisation)")
    y = np.asarray(problem.data.targets, np.float64).T
    limit = feedback_limit(y, np.asarray(problem.feedback.matrices[0], np.float64).T)
    return {
        name: MapDistance(answer=jnp.asarray(limit, float), label="relative distance to Y P_BY")
    }


OBSERVABLES: dict[str, Entry] = {
    "loss": Entry("the loss", _plain(Loss)),
    "residual": Entry("||e||, e = dl/df per sample", _plain(Residual)),
    "back-projected-residual": Entry("||e F_L||", _with_feedback(BackProjectedResidual)),
    "norms": Entry("||W_l|| per layer", _plain(Norms)),
    "laws": Entry("the laws the rule keeps, and observe.controls", lambda name, problem: {}),
    "alignment": Entry("<W, F>, cosine and angle per feedback", _with_feedback(Alignment)),
    "delta-alignment": Entry("the rule's deltas against backprop's", _delta_alignment),
    "minimum-norm": Entry("distance of W_L ... W_1 to (X^+ Y)^T", _minimum_norm),
    "low-rank-limit": Entry("distance of W_2 W_1 to Y P_BY", _low_rank_limit),
    "exact-solution": Entry("distance of W_L ... W_1 to the exact flow's", exact_distance),
    "population-loss": Entry(
        "1/2 E (y - f)^2, exactly (population rules)", _population(PopulationLoss)
    ),
    "overlaps": Entry("covariance of the fields (population rules)", _population(Overlaps)),
    "speed": Entry("||dW/dt||", _speed),
    FITTED: Entry("the late value of -d/dt log ||e||, fitted to the residual", _fitted),
    "exponent": Entry("that, at every save too, and its late value predicted", _exponent),
    "kernel": Entry("the rule's tangent kernel: size, spectrum, symmetry, change", _kernel),
    "kinks": Entry("sign changes of pre-activations (kinked phi)", lambda name, problem: {}),
}
