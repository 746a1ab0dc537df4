"""Series that are recorded as they are: they have no section, but a word where they are missing."""

from collections.abc import Mapping
from typing import Any

from ...analysis.law_keeping import knows_velocity
from ...config.resolve import Resolved
from ...flow import FlowProblem
from ...networks import AbstractLayeredNetwork
from ...observables import BackProjectedResidual, Loss, Norms, Residual
from ...rules import AbstractLayerwiseRule, DeltaAlignment, Speed, unmodified
from ..error_control import loose_warnings
from ..measure import Entry, Flown, Laws, Measure, Observed, recorded
from ..variables.weights import WeightsNow, feedback_moves

WEIGHTS = "weights"

# What a rule lacks is left out (and said in the summary's warnings) rather than refused, so that
# one config serves every rule.


def _back_projected(name: str, problem: FlowProblem) -> Observed:
    layered = isinstance(problem.weights, AbstractLayeredNetwork)
    return {name: BackProjectedResidual()} if layered and problem.feedback.matrices else {}


def _delta_alignment(name: str, problem: FlowProblem) -> Observed:
    rule = unmodified(problem.rule)
    layered = isinstance(problem.weights, AbstractLayeredNetwork)
    if not layered or not isinstance(rule, AbstractLayerwiseRule):
        return {}
    if len(problem.weights.weights) < 2:
        return {}
    return {name: DeltaAlignment(rule)}


def _speed(name: str, problem: FlowProblem) -> Observed:
    return {name: Speed(problem.rule)} if knows_velocity(problem) else {}


def _needs(resolved: Resolved, problem: FlowProblem, laws: Laws) -> Observed:
    del laws
    moves = feedback_moves(problem)
    return {WEIGHTS: WeightsNow(moves)} if resolved.config.observe.save_weights else {}


def _warnings(flown: Flown, section: Mapping[str, Any]) -> list[str]:
    del section
    resolved, experiment, solution, *_ = flown
    asked, told_apart = resolved.config.observe.names or (), ("laws", "kinks", "fitted-exponent")
    return [
        *(
            f"{name} was not recorded: it is not known for this rule, network or task"
            for name in asked
            if name not in solution.records and name not in told_apart and ":" not in name
        ),
        *experiment.notes,
        *loose_warnings(resolved, experiment.problem, solution),
    ]


SERIES = Measure(
    "records",
    warnings=_warnings,
    observables={
        "loss": Entry("the loss", recorded(Loss)),
        "residual": Entry("||e||, e = dl/df per sample", recorded(Residual)),
        "back-projected-residual": Entry("||e F_L||", _back_projected),
        "norms": Entry("||W_l|| per layer", recorded(Norms)),
        "delta-alignment": Entry("the rule's deltas against backprop's", _delta_alignment),
        "speed": Entry("||dW/dt||", _speed),
    },
    needs=_needs,
    apart=(WEIGHTS,),
)
