"""`faflow laws CONFIG` of rules with momentum or decay: laws that depend on the time."""

from typing import Any

import numpy as np

from ..discovery import (
    AbstractFields,
    Fields,
    TimedFields,
    count_timed,
    find_timed,
    timed_rates,
    write_polynomial,
)
from ..discovery.names import feedback_entries, variable_names
from ..flow import FlowProblem
from ..networks import Model
from ..observables import LeafBalance, LeafSum
from ..rules import (
    AbstractLearningRule,
    Momentum,
    WeightDecay,
    angular_momenta,
    model_laws,
)


def timed_report(fields: Fields, degree: int) -> dict[str, Any] | None:
    """The laws of state and time, counted and, up to this degree of the state, written; None for
    a rule without momentum and decay."""
    rates = timed_rates(fields.rule, fields.weights)
    if not rates:
        return None
    report = timed_counts(fields)
    report["searched"] = degree > 0
    if not degree:
        return report | {"laws": []}
    names, entries = variable_names(fields), feedback_entries(fields.feedback)
    point = TimedFields(fields).random_states(np.random.default_rng(1), 1)[0]
    found = find_timed(fields, rates, point[list(TimedFields(fields).counted)], degree)
    written = [
        {"rate": rate, "law": write_polynomial(row, laws.monomials, names, entries)}
        for rate, laws in found.found
        for row in laws.coefficients
    ]
    return report | {"named": found.independent, "laws": written}


def timed_counts(fields: AbstractFields) -> dict[str, Any]:
    count = count_timed(fields)
    return {
        "independent_laws": count.independent,
        "from_rest": None if count.rest is None else count.rest._asdict(),
        "rank_gap": count.gap,
    }


def timed_lines(report: dict[str, Any]) -> list[str]:
    """The report's laws of state and time, in words."""
    if (timed := report["timed"]) is None:
        return []
    line = count_line(timed) + (f", {timed['named']} of them named" if timed["searched"] else "")
    return [line, *(f"  {_factor(one['rate'])}({one['law']})" for one in timed["laws"])]


def count_line(timed: dict[str, Any]) -> str:
    """How many laws there are that may depend on the time; of a momentum also from rest."""
    count, rest = _number(timed["independent_laws"]), timed["from_rest"]
    if rest is None:
        return f"with the time: {count} laws (gap {timed['rank_gap']:.1e})"
    zero = f"{_number(rest['zero'])} relations that are 0 for ever"
    return (
        f"with the time: from rest {_number(rest['independent'])} laws, and {zero}; from a start "
        f"that moves {count} laws (gap {timed['rank_gap']:.1e})"
    )


def _number(count: int | None) -> str:
    return "UNDECIDED how many" if count is None else str(count)


def _factor(rate: float) -> str:
    return f"e^({rate:g} t) " if rate else ""


def model_lines(laws: list[dict[str, Any]]) -> list[str]:
    """Laws of a model by name, place by place."""
    starts = {"moving": " from a start that moves, 0 from rest", "rest": " from rest", "any": ""}
    return [
        f"  {_factor(law['rate'])}{law['name']}{starts[law['from']]}: {place}"
        for law in laws
        for place in law["places"]
    ]


def timed_model_laws(
    rule: AbstractLearningRule, problem: FlowProblem, model: Model
) -> list[dict[str, Any]]:
    """The laws of a model that decay at a known rate, or that momentum keeps of a start that moves
    (`from`: "moving") and from rest ("rest"), by name."""
    data, feedback = problem.data, problem.feedback
    if isinstance(rule, Momentum):
        sums = {
            name: law
            for name, law in model_laws(rule.rule, model, feedback, data).items()
            if isinstance(law, LeafSum)
        }
        found = [
            {"name": name, "rate": 0.0, "from": "rest", "places": list(law.places)}
            for name, law in sums.items()
        ]
        momenta = angular_momenta(rule, model, feedback, data)
        if momenta is None:
            return found
        places = [
            f"{place} ({size})" for place, size in zip(momenta.places, momenta.sizes, strict=True)
        ]
        about = {"name": "angular-momentum", "rate": momenta.rate, "from": "moving"}
        return [{**about, "places": places}, *found]
    if not isinstance(rule, WeightDecay):
        return []
    return [
        {"name": name, "rate": float(law.decay), "from": "any", "places": list(law.places)}
        for rate in sorted({2 * float(rate) for rate in np.ravel(np.asarray(rule.rates))} - {0.0})
        for name, law in model_laws(rule, model, feedback, data, rate).items()
        if isinstance(law, LeafBalance | LeafSum)
    ]


def which_states(report: dict[str, Any]) -> str:
    """Where laws are not kept for all states: for which, and how many are for all."""
    if report["states"] == "all":
        return ""
    count = report["independent_laws_for_all_states"]
    many = "UNDECIDED how many" if count is None else count
    return f" {report['states']}, {many} of them for all states"
