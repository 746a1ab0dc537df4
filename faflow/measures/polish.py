"""`[flow] polish`: the fixed point that a flow was heading for, beside its own end."""

from collections.abc import Mapping
from typing import Any

from .._results import Outcome
from ..analysis import factorisation_report, minimum_norm_report
from ..config.resolve import Resolved
from ..flow import FlowSolution, Polished, polish
from .experiment import Experiment


def polish_end(
    resolved: Resolved, experiment: Experiment, solution: FlowSolution
) -> Polished | None:
    """The fixed point, if it was asked for and the flow did not end early."""
    if not resolved.flow.polish or Outcome(int(solution.outcome)).early:
        return None
    return polish(experiment.problem, solution.weights, solution.t_final)


def polished_section(
    experiment: Experiment, solution: FlowSolution, found: Polished | None
) -> dict[str, Any] | None:
    """The section `polished` of the summary: before and after, and the known answers it meets."""
    if found is None:
        return None
    problem = experiment.problem
    section: dict[str, Any] = {
        "converged": bool(found.converged),
        "far": bool(found.far),
        "iterations": int(found.iterations),
        "moved": float(found.moved),
        "law_change": float(found.law_change),
        "law_kept": float(found.law_kept),
    }
    for name in ("speed", "residual", "loss"):
        before, after = getattr(found, name).tolist()
        section[name] = {"before": before, "after": after}
    norm = minimum_norm_report(problem.weights, found.weights, problem.data)
    if norm is not None:
        section["minimum_norm_distance"] = norm.relative_distance
    factors = factorisation_report(found.weights, solution.feedback, problem.data)
    return section if factors is None else section | {"factorisation": factors._asdict()}


def polish_warnings(section: Mapping[str, Any] | None) -> list[str]:
    if section is None:
        return []
    found = []
    if not section["converged"]:
        found.append("polishing did not reach a fixed point to rounding; run the flow longer")
    if section["far"]:
        what = f"polishing moved the weights by {100 * section['moved']:.2g} %: it may have met "
        found.append(what + "another point than the flow's limit; run the flow longer")
    return found
