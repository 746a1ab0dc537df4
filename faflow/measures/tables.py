"""Numbers, drifts, fits and certificates as rows of text, for whoever prints them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..analysis import fit_exponent, law_drift
from ..analysis.exponent import MEANINGS, REMEDIES
from ..config.errors import ConfigError
from .variables.groups import law_record

Rows = list[dict[str, str]]
MOST_LEAVES = 2  # of a model that are named on a side of a balance


def number(value: Any) -> str:
    """A number in four digits; lists by their numbers, None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number(item)}" for key, item in value.items())
    if isinstance(value, Sequence):
        return " ".join(number(item) for item in value) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tolerance_words(solver: Mapping[str, Any]) -> str:
    """Of a flow, in words."""
    if solver["step"] is not None:
        return f"step {number(solver['step'])}"
    return f"rtol {number(solver['rtol'])}"


def worst(values: Sequence[float | None]) -> float | None:
    """The largest; None, no number, where one of them is none."""
    return max(values, key=size, default=None)


def size(value: float | None) -> float:
    """A figure by which errors are compared: none is the worst."""
    return math.inf if value is None else value


def certificate_title(certificate: Mapping[str, Any]) -> str:
    """What the figures were compared with, and how the second run ended."""
    how = "a tenth of it" if certificate["by"] == "tolerance" else "a second method"
    by = f"{certificate['solver']}, {tolerance_words(certificate)}"
    return f"certificate by {how}: {by}; {certificate['status']}"


def certificate_rows(certificate: Mapping[str, Any]) -> Rows:
    """The digits that survive: of the weights, of every recorded series, of every figure. Figures
    that are errors have none: of them the first is given over the second."""
    weights = certificate["weights"]
    none = certificate.get("none")
    rows = [("nothing is certified", "", "", none)] if none else []
    rows += [
        ("final weights", "", "", f"{weights['digits']} (apart by {number(weights['distance'])})")
    ]
    for name, found in certificate["records"].items():
        text = f"{number(found['median'])} at the median save, "
        text += f"{found['digits']} at t = {number(found['worst_time'])}"
        rows.append((f"record {name}", "", "", text))
    for path, figure in certificate["figures"].items():
        if "digits" in figure:
            told = number(figure["digits"])
        else:
            told = f"an error; {number(figure['ratio'])} times the second"
        rows.append((path, number(figure["value"]), number(figure["second"]), told))
    keys = ("figure", "value", "second run", "digits that agree")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def law_place(law: Mapping[str, Any], index: int) -> str:
    """Where an entry of a law is: its hidden layer, or leaves of a model."""
    return in_short(str(law.get("places", law["layers"])[index]))


def in_short(place: str) -> str:
    """A place with the first leaf of many."""
    return " -> ".join(_first_of_many(side.split(" + ")) for side in place.split(" -> "))


def _first_of_many(leaves: list[str]) -> str:
    few = len(leaves) <= MOST_LEAVES
    return " + ".join(leaves) if few else f"{leaves[0]} + {len(leaves) - 1} more"


def place_words(law: Mapping[str, Any], index: int) -> str:
    return ("" if "places" in law else "layer ") + law_place(law, index)


def drift_rows(result: Any) -> Rows:
    """Per law and layer the drift of a stored result, its scale, its worst time, the tolerance."""
    records, rows = result.records["records"].to_dataset(), []
    times = records["time"].values
    for name, law in result.summary.get("laws", {}).items():
        if law.get("projected"):
            rows.append({"law": name, "kept": number(law["kept"]), "drift": "projected: no check"})
            continue
        values, scales = law_record(records, name), law_record(records, f"{name}_scale")
        drift = law_drift(values, scales, times, np.ones(times.shape, bool), law.get("decay", 0.0))
        for index in range(len(law["layers"])):
            rows.append(
                {
                    "law": name,
                    "kept": number(law["kept"]),
                    "layer": law_place(law, index),
                    "drift": number(float(drift.drift[index])),
                    "scale": number(float(drift.scale[index])),
                    "relative": number(float(drift.relative[index])),
                    "worst at t": number(float(drift.worst_time[index])),
                    "tolerance": tolerance_words(result.summary["solver"]),
                }
            )
    return rows


def check_window(window: Sequence[float] | None) -> None:
    """ConfigError unless it is two times, in their order."""
    if window is not None and not window[0] < window[1]:
        raise ConfigError("--window", f"is {window[0]} {window[1]}; give two times, earlier first")


def fit_rows(result: Any, window: Sequence[float] | None = None) -> Rows:
    """The exponent of a stored residual, fitted anew, beside the stored prediction."""
    records = result.records["records"].to_dataset()
    if "residual" not in records:
        raise ConfigError(str(result.folder), "has no residual; add it to observe.names and rerun")
    check_window(window)
    end = float(records["time"].values[-1])
    if window is not None and window[0] >= end:
        what = f"is {window[0]:g} {window[1]:g}, but the flow ends at t = {end:g}"
        raise ConfigError("--window", f"{what}; give times before that")
    bounds = None if window is None else (float(window[0]), float(window[1]))
    pull = records["exponent"].values if "exponent" in records else None
    fit = fit_exponent(records["time"].values, records["residual"].values, window=bounds, pull=pull)
    predicted = result.summary.get("exponent", {}).get("predicted")
    found = {"status": fit.status}
    if np.isfinite(fit.rate):
        found |= {"rate": number(float(fit.rate)), "stderr": number(float(fit.stderr))}
    if fit.status != "ok":
        found |= {"why": MEANINGS[fit.status], "would help": REMEDIES[fit.status]}
    found |= {
        "window": number([float(t) for t in fit.window]),
        "points": str(fit.points),
        "predicted": number(predicted),
    }
    return [found]
