"""A sweep in rows: its report, and distributions over seeds of exponents and of laws' drifts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..analysis import fit_exponent
from ..config.errors import ConfigError
from ..measures.tables import check_window
from ..store.result import Result
from .distribution import BAND, Combination, Members, spread_of
from .gaps import FEW, HELP, reasons, refusals, the_others, where

Row = dict[str, str]
SHOWN = ("exponent.rate", "exponent.relative_error", "minimum_norm.relative_distance")
ENDS = ("accuracy.final", "test.loss.final", "test.accuracy.final")
COMBINATIONS = 8  # of parameters: of more, there is one row over all of them


def sweep_rows(sweep: Result) -> list[Row]:
    """What became of the members, the bounds, and medians with the smallest and largest: over how
    many members, and what is to be said of the others."""
    summary, members = sweep.summary, Members(sweep.records)
    rows = [{"": "members", "value": _counts(summary["statuses"]), "of": "", "the others": ""}]
    told = refusals(members)
    for message, count, place in told[:FEW]:
        text = f"{count}{' at ' if place else ''}{place}: {message}"
        rows.append({"": "refused", "value": text})
    if len(told) > FEW:
        rows.append({"": "refused", "value": f"for {len(told) - FEW} reasons more: `message`"})
    rows += _pooled(members)
    for name in ("loss.final", *ENDS, *_own(members)):
        rows += _figure_row(members, name) + _by_parameters(members, name)
    rows += [_law_row(members, law) for law in members.laws]
    fits = members.words("exponent.status")
    for name in SHOWN:
        rows += _figure_row(members, name, fits if name.startswith("exponent.") else None)
    for path, verdict in summary.get("expect", {}).items():
        told = "holds for all" if verdict["ok"] else f"BROKEN by {verdict['broken']} members"
        rows.append({"": f"expect {path}", "value": told})
    return rows


def _own(members: Members) -> list[str]:
    names = members.figure_names()
    return [name for name in names if name.startswith("observed.") and name.endswith(".final")]


def _pooled(members: Members) -> list[Row]:
    """Over which members the lines below are."""
    parts = [f"{p.size} {p.key}" for p in members.parameters if p.size > 1]
    seeds = members.statuses.shape[-1]
    parts += [f"{seeds} seeds"] if seeds > 1 else []
    if len(parts) < 2 and not (parts and members.parameters):
        return []
    told = f"each line is over all members: {' x '.join(parts)}"
    return [{"": "pooled", "value": f"{told}; median (smallest to largest)"}]


def _by_parameters(members: Members, name: str) -> list[Row]:
    """The same at every combination of parameters, if these are few."""
    values, combinations = members.figure(name), list(members.combinations())
    if values is None or values.ndim > members.statuses.ndim:
        return []
    if not 1 < len(combinations) <= COMBINATIONS:
        return []
    rows = []
    for place in combinations:
        known = np.isfinite(values[place])
        at = ", ".join(f"{key} {text}" for key, text in _head(members, place).items())
        rows.append({"": f"  {at}", "value": _spread(values[place][known])} | _of(known))
    return rows


def _figure_row(members: Members, name: str, fits: np.ndarray | None = None) -> list[Row]:
    if not members.has(name):
        return []
    values = members.figure(name)
    if values is None:
        values = np.full(members.statuses.shape, np.nan)
    known = np.isfinite(values)
    if fits is not None:
        known &= fits == "ok"
        fits = np.where((fits == "ok") & ~known, "no prediction", fits)
    others = the_others(members, known, reasons(members, fits))
    return [{"": name, "value": _spread(values[known])} | _of(known) | {"the others": others}]


def _law_row(members: Members, law: str) -> Row:
    """Every member by the largest of its layers; members that break the law are no spread of a
    drift."""
    drift, kept = members.drift(law), members.figure(f"laws.{law}.kept")
    drift = np.full(members.statuses.shape, np.nan) if drift is None else drift
    known = np.isfinite(drift)
    broken = known if kept is None else known & (kept != 1)
    holds = known & ~broken
    parts = [_spread(drift[holds])] if holds.any() or not known.any() else []
    if broken.any():
        place = where(members, broken)
        text = f"NOT KEPT by {broken.sum()}, drift {_spread(drift[broken])}"
        parts.append(text + (f", at {place}" if place else ""))
    others = the_others(members, known, reasons(members))
    told = f"{'; '.join(parts)} ({_layers(members, law)})"
    return {"": f"laws.{law}.relative_drift", "value": told} | _of(known) | {"the others": others}


def _layers(members: Members, law: str, place: Combination = ()) -> str:
    """Over what a member's drift is the largest, for the members there are at a place."""
    values = members.figure(f"laws.{law}.relative_drift")
    if values is None or values.ndim == members.statuses.ndim:
        return "one layer"
    counts = np.isfinite(values[place]).sum(axis=-1)
    most = counts.max()
    if most < 2:
        return "one layer" if most else "-"
    least = counts[counts > 0].min()
    return f"largest of {most} layers" if least == most else f"largest of {least} to {most} layers"


def _of(known: np.ndarray) -> Row:
    return {"of": f"{known.sum()} of {known.size}"}


def _counts(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items())


def _spread(values: Any) -> str:
    if not values.size:
        return "not known for any member"
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
    return f"{middle:.4g}" + (f"  ({low:.4g} to {high:.4g})" if values.size > 1 else "")


def fit_distribution(sweep: Result, window: Sequence[float] | None = None) -> list[Row]:
    """Exponents by combination of parameters: the distribution of those that could be fitted.

    Without a `window` the members' own fits; with one, and where no member had any, their
    residuals are fitted anew.
    """
    check_window(window)
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
    why = reasons(members, statuses)
    rows = [
        _head(members, place)
        | {"members": str(fitted[place].size), "fitted": str(np.sum(np.isfinite(fitted[place])))}
        | _quantiles(fitted[place])
        | {
            "predicted": _told(spread_of(predicted[place], 0).median),
            "relative error": _told(spread_of(away[place], 0).median),
            **_missing("not fitted", why[place], np.isfinite(fitted[place])),
        }
        for place in members.combinations()
    ]
    return _helped(rows)


def drift_distribution(sweep: Result) -> list[Row]:
    """Largest relative drift of every law, by combination of parameters: median and largest."""
    members = Members(sweep.records)
    rows, why = [], reasons(members)
    for place in members.combinations():
        for law in members.laws:
            drift, kept = members.drift(law), members.figure(f"laws.{law}.kept")
            mine = np.full(members.statuses[place].shape, np.nan) if drift is None else drift[place]
            known = np.isfinite(mine)
            keeping = 0 if kept is None else int(np.sum(kept[place][known] == 1))
            over = spread_of(mine, 0)
            rows.append(
                _head(members, place)
                | {"law": law, "over": _layers(members, law, place), "members": str(mine.size)}
                | {"measured": str(known.sum()), "kept": str(keeping)}
                | {"verdict": _verdict(int(known.sum()), keeping)}
                | {"median": _told(over.median), "largest": _told(over.largest)}
                | _missing("not measured", why[place], known)
            )
    return _helped(rows)


def _verdict(measured: int, keeping: int) -> str:
    if not measured:
        return "-"
    broken = f"NOT KEPT by {measured - keeping}" if keeping else "NOT KEPT"
    return "kept" if keeping == measured else broken


def _refitted(sweep: Result, members: Members, window: Sequence[float] | None) -> Any:
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
    over, known = spread_of(values, 0), values[np.isfinite(values)]
    low, high = (f"{100 * share:g} %" for share in BAND)
    return {
        "median": _told(over.median),
        low: _told(over.lower),
        high: _told(over.upper),
        "std": _told(np.std(known, ddof=1) if known.size > 1 else np.nan),
    }


def _missing(name: str, why: np.ndarray, known: np.ndarray) -> Row:
    """Why members lack a figure, counted, and what would help."""
    found = Counter(why[~known].tolist())
    remedies = [f"{reason}: {HELP[reason]}" for reason in found if reason in HELP]
    return {name: _counts(found), "would help": "; ".join(remedies)}


def _helped(rows: list[Row]) -> list[Row]:
    """Without a column of remedies where there is nothing to remedy."""
    if not any(row["would help"] for row in rows):
        rows = [{key: text for key, text in row.items() if key != "would help"} for row in rows]
    return rows


def _told(value: Any) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "-"
