"""Alignment of W and F in the summary: where it ended, and the floor that a law puts under it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..analysis import alignment_certificate, certificate_law
from ..analysis.law_keeping import KEPT, are_kept, rates_near
from ..config.resolve import Resolved
from ..flow import FlowProblem, FlowSolution
from ..observables import AbstractConservationLaw
from .experiment import Experiment


def alignment_section(
    resolved: Resolved, experiment: Experiment, solution: FlowSolution, laws: Mapping[str, Any]
) -> dict[str, Any] | None:
    """`alignment`: the angles at the end, the smallest inner products, and the floor that a kept
    layer balance puts under them (Robertson & Koyejo 2023, Theorem 1), or why there is none.
    `laws`: the summary's section."""
    record = solution.records.get("alignment")
    if record is None:
        return None
    problem, reached = experiment.problem, np.asarray(solution.reached)
    inner = np.asarray(record["inner"])
    section: dict[str, Any] = {
        "degrees": np.asarray(record["degrees"])[reached][-1],
        "inner_minimum": inner[reached].min(axis=0),
        "certified": False,
    }
    law, why = certificate_law(problem.rule, problem.weights, problem.feedback.form)
    if law is not None and not _is_kept(law, resolved, problem, laws):
        why = "the rule claims a layer balance that its field breaks"
    if why:
        return section | {"no_floor": why}
    certificate = alignment_certificate(
        problem.rule, problem.weights, problem.feedback,
        inner_over_time=inner, reached=reached, data=problem.data,
    )  # fmt: skip
    assert certificate is not None  # there is a law
    return section | {
        "floor": certificate.floor,
        "certified": certificate.certified,
        "held": certificate.held,
    }


def _is_kept(
    law: AbstractConservationLaw,
    resolved: Resolved,
    problem: FlowProblem,
    laws: Mapping[str, Any],
) -> bool:
    """Whether the rule's layer balance is kept: as found among the laws recorded, or measured."""
    told = laws.get("layer-balance", {})
    if told.get("claimed"):
        return told["kept"]
    near = rates_near({"law": law}, problem)
    return are_kept(near, KEPT[resolved.config.precision])["law"]
