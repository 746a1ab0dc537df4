"""Known answers of linear networks: the minimum-norm map, and the factors' best and limit."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..analysis import (
    factorisation_report,
    is_factorisation,
    is_linear_squares,
    minimum_norm_report,
)
from ..flow import FlowProblem
from ..observables import MapDistance
from ..population import AbstractPopulationRule
from ..tasks import feedback_limit, minimum_norm_map
from .measure import Entry, Flown, Measure, Observed, Section, line
from .tables import number


def _minimum_norm(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """Theorem 2's answer, how far the end is from it, and whether its conditions are met."""
    del summary
    problem = flown.problem
    if isinstance(problem.rule, AbstractPopulationRule):
        return None  # it does not fit the data
    report = minimum_norm_report(problem.weights, flown.solution.weights, problem.data)
    return None if report is None else report._asdict()


def _factorisation(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    del summary
    solution = flown.solution
    report = factorisation_report(solution.weights, solution.feedback, flown.problem.data)
    return None if report is None else report._asdict()


def _minimum_norm_line(report: Mapping[str, Any]) -> str:
    condition = "met" if report["condition_met"] else "NOT met"
    return (
        f"relative distance {number(report['relative_distance'])}; "
        f"norm ratio {number(report['norm_ratio'])}; data-span condition {condition}; "
        f"smallest singular value of X {number(report['smallest_singular_value'])} (sets the rate)"
    )


def _minimum_norm_distance(name: str, problem: FlowProblem) -> Observed:
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


MINIMUM_NORM = Measure(
    "minimum_norm",
    _minimum_norm,
    line("minimum norm", _minimum_norm_line),
    observables={
        "minimum-norm": Entry("distance of W_L ... W_1 to (X^+ Y)^T", _minimum_norm_distance)
    },
)
FACTORISATION = Measure(
    "factorisation",
    _factorisation,
    line("factorisation", number),
    observables={"low-rank-limit": Entry("distance of W_2 W_1 to Y P_BY", _low_rank_limit)},
)
