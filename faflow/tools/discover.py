"""`faflow laws CONFIG`: how many laws the config's rule has on its network, and which."""

from collections.abc import Sequence
from typing import Any

import jax

from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..discovery import MOST_MONOMIALS, MOST_WEIGHTS, Discovery, Fields, discover_in, monomial_count
from ..networks import Model
from ..population import AbstractPopulationRule
from ..rules import bare
from ..setup.problem import set_up
from .model_laws import find_model_laws, model_law_lines
from .timed_laws import timed_lines, timed_report, which_states

DEGREE = 2  # of the polynomials searched unless asked otherwise, if there is room


def find_laws(
    resolved: Resolved, degree: int | None = None, block: Sequence[str] = ()
) -> dict[str, Any]:
    """What the rule conserves over all data and losses, as `faflow laws --json` prints it.

    `degree`: of the polynomial laws to search; 0: none; None: 2, or less if that is too many.
    `block`: of a model, globs over the leaves whose laws are counted.
    ConfigError if the network or the degree is too large, or the rule serves no random data.
    """
    problem = set_up(resolved).problem
    if isinstance(problem.weights, Model):
        return find_model_laws(resolved, problem, problem.weights, block)
    if block:
        raise ConfigError("--block", "names leaves of a model, and the network has layers; omit it")
    rule = bare(problem.rule)
    if isinstance(problem.rule, AbstractPopulationRule):
        what = f"is '{resolved.rule.kind}', which has one field, whatever the data; use its rule of"
        raise ConfigError("rule.kind", f"{what} finite samples")
    weights = sum(leaf.size for leaf in jax.tree.leaves(problem.weights))
    if weights > MOST_WEIGHTS:
        what = f"asks for {weights} weights, and laws are counted for {MOST_WEIGHTS} at most"
        raise ConfigError("network.widths", f"{what}; lower it")
    fields = resolved.ask("rule.kind", Fields, rule, problem.weights, problem.feedback)
    if len(fields.counted) > MOST_WEIGHTS:
        what = f"asks for {weights} weights, and the rule's state is {len(fields.counted)} numbers:"
        raise ConfigError("network.widths", f"{what} {MOST_WEIGHTS} at most; lower it")
    chosen = _degree(len(fields.counted), degree)
    found = resolved.ask("rule.kind", discover_in, fields, degree=chosen or None)
    return {
        "schema": 1,
        "name": resolved.config.name,
        "rule": resolved.rule.kind,
        "widths": list(resolved.widths),
        "activation": resolved.activation.kind,
        "weights": weights,
        "state": found.state,
        **_report(found, chosen),
        "timed": timed_report(fields, chosen),
    }


def _degree(size: int, wanted: int | None) -> int:
    """The degree to search, 0 for none."""
    if wanted is None:
        return next((d for d in (DEGREE, 1) if monomial_count(size, d) <= MOST_MONOMIALS), 0)
    if wanted < 0:
        raise ConfigError("--degree", f"is {wanted}; give 0 (no search) or more")
    count = monomial_count(size, wanted)
    if count > MOST_MONOMIALS:
        what = f"is {wanted}: {count} monomials in {size} weights, {MOST_MONOMIALS} at most"
        raise ConfigError("--degree", f"{what}; lower it")
    return wanted


def _report(found: Discovery, degree: int) -> dict[str, Any]:
    report: dict[str, Any] = {
        "status": "undecided" if found.independent is None else "decided",
        "independent_laws": found.independent,
        "states": f"inside one orthant of sign({found.signs})" if found.signs else "all",
        "independent_laws_for_all_states": found.everywhere,
        "explained": found.explained,
        "unexplained": found.unexplained,
        "ranks": [[rank.rank for rank in orbit.ranks] for orbit in found.orbits],
        "closed": all(orbit.closed for orbit in found.orbits),
        "rank_gap": found.gap,
        "known": [
            {
                "name": law.name,
                "kept": law.kept,
                "for_all_states": law.everywhere,
                "share_along_orbit": law.share,
                "rate_at_fresh_states": law.rate,
                "independent": law.independent,
                "found": law.found,
            }
            for law in found.known
        ],
    }
    if found.polynomials is not None:
        report["polynomials"] = {
            "degree": degree,
            "explain": found.found,
            "rank_gap": found.polynomials.rank.gap,
            "laws": [
                {"degree": power, "law": text}
                for power, text in zip(found.polynomials.degrees, found.texts, strict=True)
            ],
        }
    return report


def law_lines(report: dict[str, Any]) -> list[str]:
    """The report in words."""
    if "network" in report:
        return model_law_lines(report)
    size, known = report["state"], report["known"]
    what = "directions" if size == report["weights"] else "directions of the rule's state"
    lines = [_count_line(report, what)]
    for law in known:
        verdict = (
            _kept(law, report["states"])
            if law["kept"]
            else f"NOT kept ({max(law['share_along_orbit'], law['rate_at_fresh_states']):.2g})"
        )
        extra = {True: "; found as a polynomial", False: "; NOT found", None: ""}[law["found"]]
        lines.append(f"  {law['name']}: {law['independent']} independent, {verdict}{extra}")
    if not known:
        lines.append("  the rule names no law of this network")
    search = report.get("polynomials")
    if search is None:
        return [*lines, "polynomial laws: not searched", *timed_lines(report)]
    lines.append(
        f"polynomial laws of degree {search['degree']} or less: {search['explain']} independent "
        f"(gap {search['rank_gap']:.1e})"
    )
    return [*lines, *(f"  {entry['law']}" for entry in search["laws"]), *timed_lines(report)]


def _kept(law: dict[str, Any], states: str) -> str:
    if states == "all":
        return "kept"
    return "kept for all states" if law["for_all_states"] else f"kept {states} only"


def _count_line(report: dict[str, Any], what: str) -> str:
    ranks = " and ".join(" -> ".join(map(str, ranks)) for ranks in report["ranks"])
    gap = f"fields and their flows span {ranks} directions, gap {report['rank_gap']:.1e}"
    if not report["closed"]:
        gap += ", and longer chains of flows may add more"
    if report["independent_laws"] is None:
        return f"UNDECIDED how many of {report['state']} {what} are conserved: {gap}"
    return (
        f"{report['independent_laws']} of {report['state']} {what} are conserved over all data "
        f"and losses{which_states(report)}; the rule's laws explain {report['explained']}; "
        f"{report['unexplained']} unexplained ({gap})"
    )
