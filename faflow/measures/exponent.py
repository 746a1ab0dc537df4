"""The exponent: fitted, predicted, and whether the two agree."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..analysis import ExponentFit, ExponentPrediction, fit_exponent, predict_exponent
from ..analysis.exponent import MEANINGS, REMEDIES
from ..analysis.law_keeping import knows_velocity
from ..config.kinds.kinds import FITTED
from ..flow import FlowProblem, FlowSolution
from ..observables import Residual
from ..rules import Exponent, Momentum, bare
from .measure import Entry, Experiment, Flown, Measure, Observed, Section, line
from .tables import number

PLATEAU = 1e-13  # of the largest residual: a floor above this was found, not assumed
STAYS = "residual-stays"
MISSED = 0.02  # relative distance of a fitted from a predicted exponent that is worth a word


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """`exponent`: the rate r of the residual's e^{-rt} as fitted and, if `exponent` was asked for,
    as predicted from the end of the flow."""
    del summary
    resolved, experiment, solution, *_ = flown
    asked = "exponent" in resolved.names
    if not asked and FITTED not in resolved.names:
        return None
    reached = flown.reached
    residual = np.asarray(solution.records["residual"])[reached]
    instantaneous = solution.records.get("exponent")
    pull = None if instantaneous is None else np.asarray(instantaneous)[reached]
    fit = fit_exponent(np.asarray(solution.ts)[reached], residual, pull=pull)
    predicted = _prediction(experiment, solution) if asked else None
    stays = predicted is not None and predicted.status == STAYS
    if stays and fit.floor > PLATEAU * np.max(residual):
        # The pull may not have been recorded (momentum); the field says that it is no noise.
        fit = fit._replace(status=STAYS)
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


def exponent_warnings(exponent: Mapping[str, Any]) -> list[str]:
    """Where the fit and the prediction are none, or disagree."""
    if "predicted_status" not in exponent:
        return []  # nobody asked: its status is in the table
    found = []
    if exponent["status"] != "ok":
        found.append(f"no exponent was fitted: {_refused(exponent['status'])}")
    if exponent["predicted_status"] != "ok":
        how = f"{exponent['predicted_status']} ({exponent['predicted_by']})"
        found.append(f"the predicted exponent is none to compare with: {how}")
    error = exponent["relative_error"]
    if error is not None and error > max(3 * exponent["stderr"] / exponent["rate"], MISSED):
        found.append(f"the fitted exponent is {100 * error:.2g} % away from the predicted one")
    return found


def _refused(status: str) -> str:
    """Why there is no fit, and what would help: `too-few-points (...): raise flow.saves, ...`."""
    found = f"{status} ({MEANINGS[status]})" if status in MEANINGS else status
    helps = status in REMEDIES and status != STAYS
    return f"{found}: {REMEDIES[status]}" if helps else found


def _line(exponent: Mapping[str, Any]) -> str:
    if exponent["rate"] is None or not math.isfinite(exponent["rate"]):
        text = _refused(exponent["status"])
    else:
        text = f"{exponent['status']}: rate {number(exponent['rate'])}"
        text += f" +- {number(exponent['stderr'])} over t = {number(exponent['window'])}"
    if "predicted" not in exponent:
        return text
    return f"{text}; predicted {number(exponent['predicted'])} ({exponent['predicted_status']})"


def _fitted(name: str, problem: FlowProblem) -> Observed:
    del name, problem
    return {"residual": Residual()}


def _instantaneous(name: str, problem: FlowProblem) -> Observed:
    found = _fitted(name, problem)
    return {name: Exponent(problem.rule), **found} if knows_velocity(problem) else found


EXPONENT = Measure(
    "exponent",
    _section,
    line("exponent", _line),
    lambda flown, section: exponent_warnings(section),
    observables={
        FITTED: Entry("the late value of -d/dt log ||e||, fitted to the residual", _fitted),
        "exponent": Entry("that, at every save too, and its late value predicted", _instantaneous),
    },
    errors=("stderr",),
)
