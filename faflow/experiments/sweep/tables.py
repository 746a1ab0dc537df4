"""A sweep in rows: its report, and distributions over seeds of exponents and of laws' drifts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...analysis import fit_exponent
from ..errors import ConfigError
from .distribution import BAND, Combination, Members, spread
from .sweep import Sweep

Row = dict[str, str]
SHOWN = ("exponent.rate", "exponent.relative_error", "minimum_norm.relative_distance")


def sweep_rows(sweep: Sweep) -> list[Row]:
    """What became of the members, the bounds, and medians with the smallest and largest."""
    summary = sweep.summary
    rows = [{"": "members", "value": _counts(summary["statuses"])}]
    figures = sweep.records["figures"].to_dataset()
    laws = [n for n in map(str, figures) if n.startswith("laws.") and n.endswith(".relative_drift")]
    for name in ("loss.final", *laws, *SHOWN):
        if name in figures and figures[name].dtype.kind == "f":
            values = figures[name].values
            rows.append({"": name, "value": _spread(values[np.isfinite(values)])})
    for path, verdict in summary.get("expect", {}).items():
        told = "holds for all" if verdict["ok"] else f"BROKEN by {verdict['broken']} members"
        rows.append({"": f"expect {path}", "value": told})
    return rows


def _counts(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items())


def _spread(values: Any) -> str:
    if not values.size:
        return "not known for any member"
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
    return f"{middle:.4g}  ({low:.4g} to {high:.4g})"


def fit_distribution(sweep: Sweep, window: Sequence[float] | None = None) -> list[Row]:
    """Exponents by combination of parameters: the distribution of those that could be fitted.

    Without a `window` the members' own fits; with one, and where no member had any, their
    residuals are fitted anew.
    """
    if window is not None and not window[0] < window[1]:
        raise ConfigError("--window", f"is {window[0]} {window[1]}; give two times, earlier first")
    members = Members(sweep.records)
    rates, statuses = members.figure("exponent.rate"), members.words("exponent.status")
    if window is not None or statuses is None:
        rates, statuses = _refitted(sweep, members, window)
    if rates is None:
        rates = np.full(members.statuses.shape, np.nan)
    fitted = np.where(statuses == "ok", rates, np.nan)
    predicted = members.figure("exponent.predicted")
    if predicted is None:
        predicted = np.full(fitted.shape, np.nan)
    away = np.abs(fitted - predicted) / np.where(predicted == 0, np.nan, np.abs(predicted))
    return [
        _head(members, place)
        | {"members": str(fitted[place].size), "fitted": str(np.sum(np.isfinite(fitted[place])))}
        | _quantiles(fitted[place])
        | {
            "predicted": _told(spread(predicted[place], 0).median),
            "relative error": _told(spread(away[place], 0).median),
            "not fitted": _refusals(statuses[place]),
        }
        for place in members.combinations()
    ]


def drift_distribution(sweep: Sweep) -> list[Row]:
    """Largest relative drift of every law, by combination of parameters: median and largest."""
    members = Members(sweep.records)
    rows = []
    for place in members.combinations():
        for law in members.laws:
            drift, kept = members.drift(law), members.figure(f"laws.{law}.kept")
            mine = np.full(members.statuses[place].shape, np.nan) if drift is None else drift[place]
            over, known = spread(mine, 0), np.sum(np.isfinite(mine))
            keeping = 0 if kept is None else int(np.sum(kept[place] == 1))
            counts = {"members": str(mine.size), "measured": str(known), "kept": str(keeping)}
            told = {"median": _told(over.median), "largest": _told(over.largest)}
            rows.append(_head(members, place) | {"law": law} | counts | told)
    return rows


def _refitted(sweep: Sweep, members: Members, window: Sequence[float] | None) -> Any:
    residual, times = members.record("residual"), members.times
    if residual is None or times is None:
        raise ConfigError(str(sweep.folder), "has no residual; add it to observe.names and rerun")
    bounds = None if window is None else (float(window[0]), float(window[1]))
    pulls = members.record("exponent")
    rates = np.full(members.statuses.shape, np.nan)
    statuses = np.full(rates.shape, "", dtype=object)
    for place in np.ndindex(rates.shape):
        pull = None if pulls is None else pulls[place]
        fit = fit_exponent(times[place], residual[place], window=bounds, pull=pull)
        rates[place], statuses[place] = fit.rate, fit.status
    return rates, statuses


def _head(members: Members, place: Combination) -> Row:
    return {p.key: p.labels[i] for p, i in zip(members.parameters, place, strict=True)}


def _quantiles(values: np.ndarray) -> Row:
    over, known = spread(values, 0), values[np.isfinite(values)]
    low, high = (f"{100 * share:g} %" for share in BAND)
    return {
        "median": _told(over.median),
        low: _told(over.lower),
        high: _told(over.upper),
        "std": _told(np.std(known, ddof=1) if known.size > 1 else np.nan),
    }


def _refusals(statuses: np.ndarray) -> str:
    """Why members have no exponent; those that never ran, or recorded none, have no status."""
    found = Counter(str(status) or "not measured" for status in statuses if status != "ok")
    return _counts(found)


def _told(value: Any) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "-"
