"""`[flow] polish`: the fixed point that a flow was heading for, beside its own end."""

from collections.abc import Mapping
from typing import Any

from .._results import Outcome
from ..analysis import factorisation_report, minimum_norm_report
from ..config.resolve import Resolved
from ..flow import FlowSolution, Polished, polish
from .measure import Experiment, Flown, Measure, Note, Section, line
from .tables import number


def _polish_end(
    resolved: Resolved, experiment: Experiment, solution: FlowSolution, note: Note
) -> Polished | None:
    """The fixed point, if it was asked for and the flow did not end early."""
    if resolved.flow.polish:
        note("polishing the end")
    if not resolved.flow.polish or Outcome(int(solution.outcome)).early:
        return None
    return polish(experiment.problem, solution.weights, solution.t_final)


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """Before and after, and the known answers it meets."""
    del summary
    problem, solution, found = flown.problem, flown.solution, flown.beside["polished"]
    if found is None:
        return None
    section: Section = {
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


def _warnings(flown: Flown, section: Mapping[str, Any]) -> list[str]:
    del flown
    if not section:
        return []
    found = []
    if not section["converged"]:
        found.append("polishing did not reach a fixed point to rounding; run the flow longer")
    if section["far"]:
        what = f"polishing moved the weights by {100 * section['moved']:.2g} %: it may have met "
        found.append(what + "another point than the flow's limit; run the flow longer")
    return found


def _line(polished: Mapping[str, Any]) -> str:
    speed, residual = polished["speed"], polished["residual"]
    word = "a fixed point" if polished["converged"] else "NOT CONVERGED"
    return (
        f"{word} at relative distance {number(polished['moved'])} of the end; speed "
        f"{number(speed['before'])} -> {number(speed['after'])}, residual "
        f"{number(residual['before'])} -> {number(residual['after'])}; the step changed the laws "
        f"by {number(polished['law_change'])} before they were restored"
    )


POLISHED = Measure(
    "polished",
    _section,
    line("polished", _line),
    _warnings,
    beside=_polish_end,
    errors=("law_change", "law_kept"),
)
