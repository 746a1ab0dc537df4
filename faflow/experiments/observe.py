"""Observables by the names that configs use, and when each of them makes sense."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..analysis import is_factorisation, is_linear_squares
from ..feedback import Feedback
from ..flow import FlowProblem
from ..observables import (
    AbstractConservationLaw,
    AbstractObservable,
    Alignment,
    BackProjectedResidual,
    Balance,
    FeedbackPotential,
    Loss,
    MapDistance,
    Norms,
    Residual,
    ScaleOf,
    WeightPotential,
    hidden_layers,
    law_degree,
)
from ..population import AbstractPopulationRule, Overlaps, PopulationLoss
from ..rules import AbstractLayerwiseRule, AbstractWeightRule, DeltaAlignment, Exponent, Speed
from ..tasks import feedback_limit, minimum_norm_map

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


def default_names(form: str, layers: int) -> tuple[str, ...]:
    """What is observed where a config doesn't say."""
    names = ("loss", "residual", "norms")
    if layers > 1:
        names = (*names, "laws")
    return (*names, "alignment") if layers > 1 and form != "none" else names


def feedback_moves(problem: FlowProblem) -> bool:
    """Whether the rule's feedback changes on the way."""
    return problem.feedback.form != "none" and not isinstance(problem.rule, AbstractWeightRule)


# ---- laws ---------------------------------------------------------------------------------------


def asked_laws(
    problem: FlowProblem, asked: tuple[str, ...]
) -> dict[str, tuple[AbstractConservationLaw, bool]]:
    """The laws to record, each with whether the rule claims it.

    A rule that claims none for this network is asked for the layer balance, so that its rate is
    reported rather than silence.
    """
    claimed = problem.rule.laws(problem.weights)
    found = {name: (law, True) for name, law in claimed.items()}
    for name in asked or (() if claimed else ("layer-balance",)):
        if name not in found:
            found[name] = (_unclaimed(problem, name), False)
    return found


def _unclaimed(problem: FlowProblem, name: Any) -> AbstractConservationLaw:
    weights, form = problem.weights, problem.feedback.form
    layers = hidden_layers(weights)
    if form == "direct":
        # F_{l+1} = D_{l+1}^+ D_l can be formed where layer l + 1 is at least as wide as the output.
        outputs = weights.weights[-1].shape[0]
        layers = tuple(
            l for l in layers if l == layers[-1] or weights.weights[l].shape[0] >= outputs
        )
    potential = WeightPotential() if form == "none" else FeedbackPotential()
    degree = law_degree(weights)
    return Balance(potential, name, layers, 1.0 if degree is None else degree)


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
    if not isinstance(problem.rule, AbstractLayerwiseRule) or len(problem.weights.weights) < 2:
        return {}
    return {name: DeltaAlignment(problem.rule)}


def _population(make: Callable[..., AbstractObservable]):
    def build(name: str, problem: FlowProblem) -> Observed:
        rule = problem.rule
        return {name: make(rule.known())} if isinstance(rule, AbstractPopulationRule) else {}

    return build


def _exponent(name: str, problem: FlowProblem) -> Observed:
    return {name: Exponent(problem.rule), "residual": Residual()}


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
    "laws": Entry("the laws the rule keeps, and observe.laws", lambda name, problem: {}),
    "alignment": Entry("<W, F>, cosine and angle per feedback", _with_feedback(Alignment)),
    "delta-alignment": Entry("the rule's deltas against backprop's", _delta_alignment),
    "minimum-norm": Entry("distance of W_L ... W_1 to (X^+ Y)^T", _minimum_norm),
    "low-rank-limit": Entry("distance of W_2 W_1 to Y P_BY", _low_rank_limit),
    "population-loss": Entry(
        "1/2 E (y - f)^2, exactly (population rules)", _population(PopulationLoss)
    ),
    "overlaps": Entry("covariance of the fields (population rules)", _population(Overlaps)),
    "speed": Entry("||dW/dt||", lambda name, problem: {name: Speed(problem.rule)}),
    "exponent": Entry("-d/dt log ||e||, and its late value fitted", _exponent),
    "kinks": Entry("sign changes of pre-activations (kinked phi)", lambda name, problem: {}),
}
