"""Summaries, drifts, fits and checks as rows of text, for whoever prints them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..analysis import fit_exponent, law_drift
from ..config.errors import ConfigError
from .groups import law_record

Rows = list[dict[str, str]]


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


def summary_rows(summary: Mapping[str, Any]) -> Rows:
    """A run's report: one line per thing measured."""
    solver = summary["solver"]
    rows = [
        ("status", f"{summary['status']} at t = {number(summary['t_final'])}"),
        ("loss", f"{number(summary['loss']['initial'])} -> {number(summary['loss']['final'])}"),
        *((name, _law_line(law, solver)) for name, law in summary.get("laws", {}).items()),
    ]
    for section, line in _LINES.items():
        if section in summary:
            rows.append((section.replace("_", " "), line(summary[section])))
    rows.append(("solver", _solver_line(solver)))
    rows += [("chosen", _chosen_line(leg)) for leg in solver.get("chosen", [])]
    rows += [(f"expect {p}", _verdict(v)) for p, v in summary.get("expect", {}).items()]
    return [{"what": what, "measured": text} for what, text in rows]


def _law_line(law: Mapping[str, Any], solver: Mapping[str, Any]) -> str:
    start = f"rate at start {number(_max(law['rate_at_start']))}"
    if law.get("projected"):
        return f"projected onto: its drift is no check; {start}"
    worst = law["relative_drift"].index(max(law["relative_drift"], key=_size))
    drift, scale, relative, when, layer = (
        number(law[key][worst])
        for key in ("drift", "scale", "relative_drift", "worst_time", "layers")
    )
    text = (
        f"{'kept' if law['kept'] else 'NOT KEPT'}; "
        f"{start}; drift {drift} of {scale} "
        f"= {relative} at t = {when} (layer {layer}; {_tolerance(solver)})"
    )
    if "relative_forecast_error" in law:
        text += f"; forecast to {number(_max(law['relative_forecast_error']))}"
    return text


def _tolerance(solver: Mapping[str, Any]) -> str:
    if solver["step"] is not None:
        return f"step {number(solver['step'])}"
    return f"rtol {number(solver['rtol'])}"


def _solver_line(solver: Mapping[str, Any]) -> str:
    evaluations = solver["field_evaluations"]
    absolute = "" if solver["step"] is not None else f", atol {number(solver['atol'])}"
    if "follows" in solver:
        absolute = f", both following weights that start at {number(solver['follows'])}"
    work = "" if evaluations is None else f", {evaluations} field evaluations"
    return (
        f"{solver['name']} ({_tolerance(solver)}{absolute}): "
        f"{solver['steps']} steps + {solver['rejected']} rejected{work}; "
        f"{number(solver['seconds'])} s + {number(solver['compile_seconds'])} s compiling"
    )


def _chosen_line(leg: Mapping[str, Any]) -> str:
    since, work = number(leg["from"]), f"{leg['steps']} steps + {leg['rejected']} rejected"
    return f"{leg['solver']} from t = {since} ({work}): {leg['reason']}"


def _alignment_line(alignment: Mapping[str, Any]) -> str:
    text = f"{number(alignment['degrees'])} degrees; <W, F> >= {number(alignment['inner_minimum'])}"
    if "floor" in alignment:
        word = "certified" if alignment["certified"] else "no certificate"
        held = "held" if alignment["held"] else "NOT HELD"
        text += f"; floor {number(alignment['floor'])} ({word}, {held})"
    if "no_floor" in alignment:
        text += f"; no floor: {alignment['no_floor']}"
    return text


def _exponent_line(exponent: Mapping[str, Any]) -> str:
    text = f"{exponent['status']}: rate {number(exponent['rate'])} +- {number(exponent['stderr'])}"
    text += f" over t = {number(exponent['window'])}"
    if "predicted" not in exponent:
        return text
    return f"{text}; predicted {number(exponent['predicted'])} ({exponent['predicted_status']})"


def _minimum_norm_line(report: Mapping[str, Any]) -> str:
    condition = "met" if report["condition_met"] else "NOT met"
    return (
        f"relative distance {number(report['relative_distance'])}; "
        f"norm ratio {number(report['norm_ratio'])}; data-span condition {condition}; "
        f"smallest singular value of X {number(report['smallest_singular_value'])} (sets the rate)"
    )


def _kinks_line(kinks: Mapping[str, Any]) -> str:
    if kinks["method"] == "exact":
        counted = ", ".join(f"{kinks[kind]} {kind}" for kind in ("crossed", "landed", "left"))
        end = number(kinks["sliding_at_end"])
        text = f"exact: {kinks['events']} events ({counted}); at most {kinks['most_sliding']} pairs"
        text += f" slid at once, at the end {end} (per hidden layer)"
        return text + (f"; NOT UNIQUE {place(kinks['fork'])}" if "fork" in kinks else "")
    return "; ".join([*_plain_kinks(kinks), *_error_words(kinks.get("error"))])


def place(fork: Mapping[str, Any]) -> str:
    """Time and pair of a fork in words."""
    layer, sample, unit = (fork[name] for name in ("layer", "sample", "unit"))
    pair = f"neuron {unit} of hidden layer {layer} on sample {sample}"
    return f"at t = {fork['time']:.6g}, {pair} (neurons, samples counted from 0)"


def _plain_kinks(kinks: Mapping[str, Any]) -> list[str]:
    if "width" in kinks:
        return [f"{kinks['method']}, width {number(kinks['width'])}"]
    changed = f"{number(kinks['changes'])} sign changes (per hidden layer)"
    return [f"{kinks['method']}: {changed}, {kinks['busiest']} of the busiest pair"]


def _error_words(error: Mapping[str, Any] | None) -> list[str]:
    if error is None:
        return []
    if error["weights"] is None:
        return [f"error of the weights unknown: {error['status']}"]
    return [f"weights wrong by about {number(error['weights'])} (estimate by {error['by']})"]


def _discrete_line(discrete: Mapping[str, Any]) -> str:
    runs = discrete["runs"]
    ends = ", ".join(f"{number(run['distance'])} at eta {number(run['eta'])}" for run in runs)
    text = f"{discrete['method']}: distance to the flow {ends}"
    if discrete["order"] is not None:
        text += f" (order {number(discrete['order'])})"
    told = [law["identity"] for run in runs for law in run["laws"].values()]
    missed = _max([value for value in told if value is not None])
    return text + ("" if missed is None else f"; law identity holds to {number(missed)}")


def _kernel_line(kernel: Mapping[str, Any]) -> str:
    start, end = kernel["initial"], kernel["final"]
    cosine, share, rate = (
        f"{number(start[key])} -> {number(end[key])}" for key in ("cosine", "share", "smallest")
    )
    return (
        f"moved by {number(end['change'])} of its norm; cosine with backprop's {cosine}, "
        f"share of it {share}; smallest rate {rate}"
    )


def _order_line(order: Mapping[str, Any]) -> str:
    loss, found = order["population_loss"], order.get("simulation")
    text = f"eta {number(order['eta'])}: population loss {number(loss['initial'])} -> "
    text += number(loss["final"])
    if found is None:
        return text
    away, chance = number(found["worst_deviation"]), number(found["chance"])
    text += f"; mean of {found['seeds']} simulations, N = {found['inputs']}, at most {away}"
    return f"{text} standard errors away (chance {chance})"


def _polished_line(polished: Mapping[str, Any]) -> str:
    speed, residual = polished["speed"], polished["residual"]
    word = "a fixed point" if polished["converged"] else "NOT CONVERGED"
    return (
        f"{word} at relative distance {number(polished['moved'])} of the end; speed "
        f"{number(speed['before'])} -> {number(speed['after'])}, residual "
        f"{number(residual['before'])} -> {number(residual['after'])}; the step changed the laws "
        f"by {number(polished['law_change'])} before they were restored"
    )


def _projection_line(projection: Mapping[str, Any]) -> str:
    share = number(projection["corrected"])
    return f"the laws were put back after every step, by {share} of their scale in all"


_LINES = {
    "kinks": _kinks_line,
    "alignment": _alignment_line,
    "exponent": _exponent_line,
    "minimum_norm": _minimum_norm_line,
    "factorisation": number,
    "exact_solution": number,
    "kernel": _kernel_line,
    "discrete": _discrete_line,
    "order_parameters": _order_line,
    "projection": _projection_line,
    "polished": _polished_line,
}


def _verdict(verdict: Mapping[str, Any]) -> str:
    word = "ok" if verdict["ok"] else "BROKEN"
    return f"{word}: {number(verdict['value'])}, bound {number(verdict['bound'])}"


def _max(values: Sequence[float | None]) -> float | None:
    """The largest; None, no number, where one of them is none."""
    return max(values, key=_size, default=None)


def _size(value: float | None) -> float:
    return math.inf if value is None else value


def certificate_title(certificate: Mapping[str, Any]) -> str:
    """What the figures were compared with, and how the second run ended."""
    how = "a tenth of it" if certificate["by"] == "tolerance" else "a second method"
    by = f"{certificate['solver']}, {_tolerance(certificate)}"
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
        for index, layer in enumerate(law["layers"]):
            rows.append(
                {
                    "law": name,
                    "kept": number(law["kept"]),
                    "layer": str(layer),
                    "drift": number(float(drift.drift[index])),
                    "scale": number(float(drift.scale[index])),
                    "relative": number(float(drift.relative[index])),
                    "worst at t": number(float(drift.worst_time[index])),
                    "tolerance": _tolerance(result.summary["solver"]),
                }
            )
    return rows


def fit_rows(result: Any, window: Sequence[float] | None = None) -> Rows:
    """The exponent of a stored residual, fitted anew, beside the stored prediction."""
    records = result.records["records"].to_dataset()
    if "residual" not in records:
        raise ConfigError(str(result.folder), "has no residual; add it to observe.names and rerun")
    if window is not None and not window[0] < window[1]:
        raise ConfigError("--window", f"is {window[0]} {window[1]}; give two times, earlier first")
    bounds = None if window is None else (float(window[0]), float(window[1]))
    pull = records["exponent"].values if "exponent" in records else None
    fit = fit_exponent(records["time"].values, records["residual"].values, window=bounds, pull=pull)
    predicted = result.summary.get("exponent", {}).get("predicted")
    found = {
        "status": fit.status,
        "rate": number(float(fit.rate)),
        "stderr": number(float(fit.stderr)),
        "window": number([float(t) for t in fit.window]),
        "points": str(fit.points),
        "predicted": number(predicted),
    }
    return [found]
