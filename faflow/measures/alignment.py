"""Alignment of W and F: where it ended, and the floor that a law puts under it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..analysis import alignment_certificate, certificate_law, model_certificate
from ..analysis.law_keeping import KEPT, are_kept, rates_near
from ..config.resolve import Resolved
from ..flow import FlowProblem
from ..networks import Model
from ..observables import AbstractConservationLaw, Alignment
from .measure import Entry, Flown, Measure, Observed, Section, line
from .tables import number
from .variables.weights import BACK, feedback_paths


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """`alignment`: the angles at the end, the smallest inner products, and the floor that a kept
    layer balance puts under them (Robertson & Koyejo 2023, Theorem 1), or why there is none."""
    resolved, _, solution, *_ = flown
    record = solution.records.get("alignment")
    if record is None:
        return None
    problem, reached = flown.problem, flown.reached
    inner = np.asarray(record["inner"])
    section: dict[str, Any] = {
        "degrees": np.asarray(record["degrees"])[reached][-1],
        "inner_minimum": inner[reached].min(axis=0),
        "certified": False,
    }
    if isinstance(problem.weights, Model):
        return section | _of_model(flown, problem.weights, inner)
    law, why = certificate_law(problem.rule, problem.weights, problem.feedback.form)
    if law is not None and not _is_kept(law, resolved, problem, summary.get("laws", {})):
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


def _of_model(flown: Flown, model: Model, inner: np.ndarray) -> Section:
    """The floors of a model's feedback arrays, and the paths of their leaves."""
    law, _ = flown.experiment.laws.get("layer-balance", (None, False))
    given = (model, flown.problem.feedback)
    certificate, why = model_certificate(law, *given, inner, flown.reached, flown.problem.data)
    paths = feedback_paths(*given, flown.problem.data.inputs)
    section: Section = {"places": [path.removeprefix(BACK) for path in paths]}
    if certificate is None:
        return section | {"no_floor": why}
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


def _line(alignment: Mapping[str, Any]) -> str:
    text = f"{number(alignment['degrees'])} degrees; <W, F> >= {number(alignment['inner_minimum'])}"
    if "floor" in alignment:
        word = "certified" if alignment["certified"] else "no certificate"
        known = [floor is not None for floor in alignment["floor"]]
        if not all(known):
            word += f" for {sum(known)} of {len(known)}"
        held = "held" if alignment["held"] else "NOT HELD"
        text += f"; floor {number(alignment['floor'])} ({word}, {held})"
    if "no_floor" in alignment:
        text += f"; no floor: {alignment['no_floor']}"
    return text


def _observable(name: str, problem: FlowProblem) -> Observed:
    feedback = problem.feedback
    if isinstance(problem.weights, Model) and feedback.form == "direct":
        return {}  # between a block and the outputs lies no product of matrices
    return {name: Alignment()} if feedback.matrices else {}


ALIGNMENT = Measure(
    "alignment",
    _section,
    line("alignment", _line),
    observables={"alignment": Entry("<W, F>, cosine and angle per feedback", _observable)},
)
