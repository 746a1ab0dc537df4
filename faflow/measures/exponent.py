"""The exponent in the summary: fitted, predicted, and whether the two agree."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..analysis import ExponentFit, ExponentPrediction, fit_exponent, predict_exponent
from ..analysis.law_keeping import knows_velocity
from ..config.kinds.kinds import FITTED
from ..config.resolve import Resolved
from ..flow import FlowSolution
from ..rules import Momentum, bare
from .experiment import Experiment

PLATEAU = 1e-13  # of the largest residual: a floor above this was found, not assumed
MISSED = 0.02  # relative distance of a fitted from a predicted exponent that is worth a word


def exponent_section(
    resolved: Resolved, experiment: Experiment, solution: FlowSolution
) -> dict[str, Any] | None:
    """`exponent`: the rate r of the residual's e^{-rt} as fitted and, if `exponent` was asked for,
    as predicted from the end of the flow."""
    asked = "exponent" in resolved.names
    if not asked and FITTED not in resolved.names:
        return None
    reached = np.asarray(solution.reached)
    residual = np.asarray(solution.records["residual"])[reached]
    instantaneous = solution.records.get("exponent")
    pull = None if instantaneous is None else np.asarray(instantaneous)[reached]
    fit = fit_exponent(np.asarray(solution.ts)[reached], residual, pull=pull)
    predicted = _prediction(experiment, solution) if asked else None
    stays = predicted is not None and predicted.status == "residual-stays"
    if stays and fit.floor > PLATEAU * np.max(residual):
        # The pull may not have been recorded (momentum); the field says that it is no noise.
        fit = fit._replace(status="residual-stays")
    section = {
        "observable": "residual",
        "rate": fit.rate,
        "stderr": fit.stderr,
        "window": list(fit.window),
        "points": fit.points,
        "status": fit.status,
    }
    if predicted is None:
        return section
    return section | {
        **_beside(fit, predicted),
        "instantaneous": None if pull is None else pull[-1],
    }


def _prediction(experiment: Experiment, solution: FlowSolution) -> ExponentPrediction:
    problem = experiment.problem
    start = (problem.weights, problem.feedback)
    end = (solution.weights, solution.feedback)
    rule = bare(problem.rule)
    # Momentum ends at rest, so that its state is known again; other memories are not.
    if knows_velocity(problem) or isinstance(rule, Momentum):
        return predict_exponent(rule, *end, problem.data, start)
    what = "the velocity is not known from the weights alone"
    return ExponentPrediction(math.nan, math.nan, "unavailable", 0, what)


def _beside(fit: ExponentFit, predicted: ExponentPrediction) -> dict[str, Any]:
    """What is predicted, and how far the fit is from it."""
    rate = float(predicted.rate)
    both = fit.status == "ok" and predicted.status == "ok"
    section = {
        "predicted": rate,
        "predicted_status": predicted.status,
        "predicted_by": predicted.method,
        "relative_error": abs(fit.rate - rate) / rate if both else math.nan,
    }
    return section | ({"frequency": predicted.frequency} if predicted.frequency > 0 else {})


def exponent_warnings(exponent: Mapping[str, Any] | None) -> list[str]:
    """Where the fit and the prediction are none, or disagree."""
    if exponent is None or "predicted_status" not in exponent:
        return []  # nobody asked: its status is in the table
    found = []
    if exponent["status"] != "ok":
        found.append(f"no exponent was fitted: {exponent['status']}")
    if exponent["predicted_status"] != "ok":
        how = f"{exponent['predicted_status']} ({exponent['predicted_by']})"
        found.append(f"the predicted exponent is none to compare with: {how}")
    error = exponent["relative_error"]
    if error is not None and error > max(3 * exponent["stderr"] / exponent["rate"], MISSED):
        found.append(f"the fitted exponent is {100 * error:.2g} % away from the predicted one")
    return found
