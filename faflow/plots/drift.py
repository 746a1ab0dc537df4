"""Drift of conservation laws: |Q(t) - Q(0)| / scale, one line per law and hidden layer."""

import re
from dataclasses import dataclass

import numpy as np

from ..measures.tables import in_short
from ..store.result import Result
from .panel import Curve, Level, Panel, brief
from .style import COOL, FEW, GREY, MARKERS, SOLID, STYLES, WARM, plain_text

FLOOR = 1e-17  # where a drift of exactly zero is drawn: below the rounding of any float64 ratio


@dataclass(frozen=True)
class Drift:
    """Relative drift of one law in one layer, (saves,)."""

    law: str
    layer: str | None
    kept: bool
    values: np.ndarray

    @property
    def worst(self) -> float:
        return float(np.max(self.values, initial=0.0, where=np.isfinite(self.values)))

    @property
    def label(self) -> str:
        return plain_text(self.law, 28) + _where(self.layer)


def _where(layer: str | None) -> str:
    """A hidden layer, or the place of a law in a model."""
    if not layer:
        return ""
    return f", l\u00a0=\u00a0{layer}" if layer.isdigit() else f", {plain_text(in_short(layer), 52)}"


def drift_panels(result: Result) -> list[Panel]:
    """One panel of all laws that have records; none if there are none."""
    measured = [law for law, told in result.section("laws").items() if not told.get("projected")]
    drifts = [drift for law in measured for drift in law_drifts(result, law)]
    if not drifts:
        return []
    title = [_verdict(group) for kept in (True, False) if (group := _of(drifts, kept))]
    title += _unseen(result)
    decays = any(law.get("decay") for law in result.section("laws").values())
    zeros = any(np.any(drift.values[1:] < FLOOR) for drift in drifts)
    ylabel = "|Q(t) − Q(0) exp(−λt)| / scale" if decays else "|Q(t) − Q(0)| / scale"
    return [
        Panel(
            title=title,
            ylabel=ylabel + (f"\n(zero is drawn at {brief(FLOOR, 1)})" if zeros else ""),
            curves=drift_curves(_of(drifts, True), COOL) + drift_curves(_of(drifts, False), WARM),
            scale="log",
            levels=tolerance_levels(result),
        )
    ]


def law_drifts(result: Result, law: str) -> list[Drift]:
    """Relative drifts of one law, layer by layer; entries of a layer count by the largest."""
    about = result.section("laws")[law]
    found = []
    for index, (layer, name, values) in enumerate(layers_of(result, law)):
        start = values[0] * _decay(about, result.times - result.times[0], index, values.ndim)
        size = np.abs(values - start).reshape(len(values), -1)
        relative = np.max(size, axis=1, initial=0.0) / scale_of(result, law, name, index)
        found.append(Drift(law, layer, bool(about.get("kept", True)), relative))
    return found


def layers_of(result: Result, law: str) -> list[tuple[str | None, str, np.ndarray]]:
    """(layer, record, values) per hidden layer: columns of one record, or one record each."""
    whole = result.values(law)
    if whole is not None:
        if _by_layer(result, law):
            return [(k, law, whole[:, i]) for i, k in enumerate(result.entries(law))]
        return [(None, law, whole)]
    others = set(result.section("laws")) - {law}
    pattern = re.compile(re.escape(law) + r"_(\d+)")
    matches = [pattern.fullmatch(n) for n in result.names() if n not in others]
    ragged = sorted((int(match[1]), match[0]) for match in matches if match)
    told = result.section("laws").get(law, {})
    places = dict(enumerate(told.get("places", ()), start=1))
    layers = [(places.get(k, str(k)), name, result.values(name)) for k, name in ragged]
    return [(k, name, values) for k, name, values in layers if values is not None]


def _decay(about: dict, since: np.ndarray, index: int, rank: int) -> np.ndarray:
    """exp(-decay t), the factor by which the rule itself shrinks the law; 1 for conservation."""
    rates = np.ravel(about.get("decay") or 0.0)
    factor = np.exp(-float(rates[min(index, len(rates) - 1)]) * since)
    return factor.reshape(-1, *[1] * (rank - 1))


def _by_layer(result: Result, record: str) -> bool:
    """Whether the record has one column per hidden layer or place that a law speaks of."""
    axes = result.axes(record)[1:]
    return len(axes) == 1 and axes[0].startswith(("hidden_layer", "place"))


def scale_of(result: Result, law: str, name: str, index: int) -> float:
    """One number per layer: the summary's, else the largest recorded; 1 if there is none."""
    told = result.section("laws")[law].get("scale")
    if told is not None:
        entry = told[index] if isinstance(told, list) and index < len(told) else told
        size = np.max(np.abs(np.asarray(entry, np.float64)))
        return float(size) if np.isfinite(size) and size > 0 else 1.0
    # neuron-balance_scale_2 or neuron-balance_2_scale belongs to neuron-balance_2.
    records = (f"{law}_scale{name.removeprefix(law)}", f"{name}_scale")
    record = next((r for r in records if result.values(r) is not None), None)
    recorded = result.values(record) if record else None
    if record is None or recorded is None:
        return 1.0
    if name == law and _by_layer(result, record):
        recorded = recorded[:, index]
    size = np.max(np.abs(recorded), initial=0.0, where=np.isfinite(recorded))
    return float(size) or 1.0


def _of(drifts: list[Drift], kept: bool) -> list[Drift]:
    return [drift for drift in drifts if drift.kept == kept]


def _verdict(group: list[Drift]) -> str:
    worst = max(group, key=lambda drift: drift.worst)
    what = "kept" if worst.kept else "not a law"
    return f"{what}: worst {brief(worst.worst, 2)} ({worst.label})"


def _unseen(result: Result) -> list[str]:
    """The error that no law sees: what kinks did to the weights."""
    error = (result.section("kinks").get("error") or {}).get("weights")
    return [f"not seen here: kinks, weights ± {brief(error, 2)}"] if error else []


def drift_curves(group: list[Drift], palette: tuple[str, ...]) -> list[Curve]:
    """Colours tell laws, styles tell layers; of one law alone, both tell layers."""
    laws = list(dict.fromkeys(drift.law for drift in group))
    curves, seen = [], dict.fromkeys(laws, 0)
    for drift in group:
        law, layer = laws.index(drift.law), seen[drift.law]
        seen[drift.law] += 1
        many = len(group) > FEW
        style = STYLES[layer % len(STYLES)] if len(laws) == 1 or not many else SOLID
        hue = layer if len(laws) == 1 and not many else law
        curves.append(
            Curve(
                column=f"drift of {drift.law}" + (f" {drift.layer}" if drift.layer else ""),
                meaning="relative drift, " + ("a kept law" if drift.kept else "not a law"),
                values=drift.values,
                label=_label(drift, group, layer, many),
                colour=palette[hue % len(palette)],
                style=SOLID if many else style,
                marker=None if drift.kept else MARKERS[hue % len(MARKERS)],
                hollow=True,
                width=0.9 if many else 1.3,
                floor=FLOOR,
                skip=1,  # Q(0) - Q(0) says nothing
            )
        )
    return curves


def _label(drift: Drift, group: list[Drift], layer: int, many: bool) -> str | None:
    suffix = "" if drift.kept else " (not a law)"
    if not many:
        return drift.label + suffix
    count = sum(other.law == drift.law for other in group)
    what = "layers" if (drift.layer or "").isdigit() else "places"
    return f"{plain_text(drift.law, 28)}, {count} {what}{suffix}" if layer == 0 else None


def tolerance_levels(result: Result) -> list[Level]:
    rtol = result.section("solver").get("rtol")
    return [Level(float(rtol), f"rtol = {brief(float(rtol), 1)}", GREY)] if rtol else []
