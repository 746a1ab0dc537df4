"""Curves as plotly figures: plain JSON that the page's script hands to plotly as it is.

Every trace says in `meta` which case, layer, law and seed it belongs to; what of these is ticked on
the page decides whether it is drawn.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compare.curves import DRIFT, MEDIAN, PageCurve, PagePanel
from ..plots.drift import FLOOR
from ..plots.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
GRID = "rgba(128,128,128,0.28)"  # seen on white and on black
WIDE = 20.0  # an axis is logarithmic from this ratio of largest to smallest on
MANY = 8  # cases; the curves of more are told in fewer digits
FEW = 8  # as many curves have their values in one box
TITLES = {  # by the record's name: of the figure, of its vertical axis
    "residual": ("Residual", "‖e‖"),
    "alignment_degrees": ("Angle between weights and feedback", "degrees"),
    "alignment_inner": ("Inner product of weights and feedback", "⟨W, F⟩"),
    "alignment_cosine": ("Cosine between weights and feedback", "cosine"),
    "delta-alignment_degrees": ("Angle between the rule's signal and backprop's", "degrees"),
    "delta-alignment_inner": ("Inner product of the rule's signal and backprop's", "⟨δ, δ BP⟩"),
    "delta-alignment_cosine": ("Cosine between the rule's signal and backprop's", "cosine"),
    "norms": ("Norms of the weights", "‖W‖ (Frobenius)"),
    "exponent": ("Exponent at every save", "−d log ‖e‖ / dt"),
    "steps": ("Accepted steps so far", "steps"),
    "rejected": ("Rejected steps so far", "steps"),
    "field_evaluations": ("Evaluations of the field so far", "evaluations"),
}


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page. `timed`: its horizontal axis is time; `key`: what it is about."""

    key: str
    title: str
    caption: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    log: bool = False
    timed: bool = True

    @property
    def curves(self) -> bool:
        """Whether its values may be on a logarithmic axis: neither cells nor rows of a raster."""
        return not self.key.startswith(("map-", "raster-", "phase"))


@dataclass(frozen=True)
class Choices:
    """Everything that can be ticked, in order; the page shows no control for a single choice."""

    case: tuple[str, ...]
    layer: tuple[str, ...]
    law: tuple[str, ...]
    seed: tuple[str, ...]

    def look(self, curve: PageCurve) -> tuple[str, str]:
        """Colour and dashes: by case and layer if there are several cases, else by layer and law.
        Entries of other axes count as layers."""
        layer = _place(curve.layer, self.layer) if curve.layer else _entry(curve)
        case, law = _place(curve.case, self.case), _place(curve.law, self.law)
        within = law if curve.law or not curve.layer else _entry(curve)
        hue, dash = (case, layer) if len(self.case) > 1 else (layer, within)
        return PALETTE[hue % len(PALETTE)], DASHES[dash % len(DASHES)]


def choices_of(cases: Iterable[str], panels: Sequence[PagePanel], layers: Iterable[int]) -> Choices:
    """`layers`: of rasters, beside those of the curves."""
    curves = [curve for panel in panels for curve in panel.curves]
    found = {c.layer for c in curves if c.layer} | {str(layer) for layer in layers}
    laws = dict.fromkeys(c.law for c in curves if c.law)
    seeds = dict.fromkeys(c.seed for c in curves if c.seed)
    middle = (MEDIAN,) if MEDIAN in seeds else ()
    order = sorted(
        found, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
    )
    single = tuple(seed for seed in seeds if seed != MEDIAN)
    return Choices(tuple(cases), tuple(order), tuple(laws), (*middle, *single))


def panel_figure(panel: PagePanel, choices: Choices) -> PageFigure:
    """The figure of a panel over time."""
    log, drift = _is_log(panel), panel.key == DRIFT
    traces = [
        trace for curve in panel.curves
        for trace in _traces(curve, TITLES.get(panel.key, (panel.title, ""))[0], choices, drift)
    ]  # fmt: skip
    title, ylabel = TITLES.get(panel.key, (panel.title, panel.ylabel))
    layout = base_layout(ylabel, log)
    layout["showlegend"] = False  # the readings below the figure are one
    if not log and _counts_few(panel):
        layout["yaxis"]["dtick"] = 1
    if len(panel.curves) > FEW:
        layout["hovermode"] = "closest"
    notes = list(dict.fromkeys(panel.notes))
    if drift and any(np.any(c.values < FLOOR) for c in panel.curves):
        notes.append(f"zero is drawn at {FLOOR:g}")
    return PageFigure(panel.key, title, "; ".join(notes), traces, layout, log)


def base_layout(ylabel: str, log: bool, xlabel: str = "time") -> dict[str, Any]:
    """What all figures share. Colours of text come from the page's style sheet."""
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "automargin": True}
    power = {"exponentformat": "power", "type": "log" if log else "linear", "nticks": 6}
    return {
        "xaxis": {**axis, "title": {"text": literal(xlabel)}},
        "yaxis": {**axis, **power, "title": {"text": literal(ylabel)}},
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        "hovermode": "x unified",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "shapes": [],
    }


def literal(plain: str) -> str:
    """Text as plotly draws it letter by letter: it reads tags and entities in what it is given."""
    return html.escape(plain, quote=False)


def numbers(values: np.ndarray, digits: int | None = None) -> list[float | None]:
    """JSON has no nan."""
    listed = np.asarray(values, float).tolist()
    if digits is not None:
        listed = [float(f"{value:.{digits}g}") for value in listed]
    return [value if np.isfinite(value) else None for value in listed]


def _traces(curve: PageCurve, title: str, choices: Choices, drift: bool) -> list[dict[str, Any]]:
    colour, dash = choices.look(curve)
    what = _words(curve, choices) or title
    name = curve_label(curve, choices) or title
    single = curve.seed not in ("", MEDIAN)
    drawn = np.maximum(curve.values, FLOOR) if drift else curve.values
    meta = {"case": curve.case, "layer": curve.layer, "law": curve.law, "seed": curve.seed}
    digits = None if curve.seed == "" and len(choices.case) <= MANY else 7
    main = {
        "type": "scatter",
        "x": numbers(curve.times),
        "y": numbers(drawn, digits),
        "name": literal(name),
        "mode": "lines" if len(curve.times) > 1 else "markers",
        "line": {"color": colour, "dash": dash, "width": 1 if single else 2},
        "opacity": 0.6 if single else 1.0,
        "meta": {**meta, "read": True, "label": name, "what": what},
        "hovertemplate": "%{y:.4~g}",
    }
    found = [main]
    if curve.low is not None and curve.high is not None:
        found = [_band(curve, colour, meta, drift), *found]
    return found


def _band(curve: PageCurve, colour: str, meta: dict[str, Any], drift: bool) -> dict[str, Any]:
    """Lower edge there, upper edge back: one closed shape."""
    assert curve.low is not None and curve.high is not None
    known = np.isfinite(curve.low) & np.isfinite(curve.high)
    low, high, times = curve.low[known], curve.high[known], curve.times[known]
    if drift:
        low, high = np.maximum(low, FLOOR), np.maximum(high, FLOOR)
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return {
        "type": "scatter",
        "x": numbers(np.concatenate([times, times[::-1]])),
        "y": numbers(np.concatenate([low, high[::-1]]), 7),
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.18)",
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "meta": meta,
    }


def curve_label(curve: PageCurve, choices: Choices) -> str:
    """What tells a curve from the others of its panel; "" if it is the only one."""
    parts = [curve.case] if len(choices.case) > 1 else []
    parts += [words] if (words := _words(curve, choices)) else []
    parts += [curve.seed if curve.seed == MEDIAN else f"seed {curve.seed}"] if curve.seed else []
    return ", ".join(parts)


def _words(curve: PageCurve, choices: Choices) -> str:
    """What a curve is of, whosever it is."""
    parts = [curve.law] if curve.law and len(choices.law) > 1 else []
    where = f"layer {curve.layer}" if curve.layer.isdigit() else curve.layer
    parts += [where] if where else []
    return ", ".join([*parts, curve.entry] if curve.entry else parts)


def _place(name: str, among: Sequence[str]) -> int:
    return among.index(name) if name in among else 0


def _entry(curve: PageCurve) -> int:
    """A column's place, of names such as `rate 3`: the third is 2."""
    last = curve.entry.rsplit(" ", 1)[-1]
    return max(int(last) - 1, 0) if last.isdecimal() else 0


def _is_log(panel: PagePanel) -> bool:
    if panel.key == DRIFT:
        return True
    values = np.concatenate([np.zeros(0), *(curve.values for curve in panel.curves)])
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() <= 0:
        return False
    return bool(finite.max() > WIDE * finite.min())


def _counts_few(panel: PagePanel) -> bool:
    """Whether a panel shows whole numbers, and few, between which plotly would put ticks."""
    values = np.concatenate([np.zeros(0), *(curve.values for curve in panel.curves)])
    return bool(values.size and np.all(values == np.round(values)) and np.ptp(values) <= FEW)
