"""The raster: which pairs (neuron, sample) are active, cross h = 0 or slide along it, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...measures.variables.datasets import xr
from ...store.result import Result
from ..frame import log_spaced
from ..panel import Bars, Listing, Marks, Panel, brief
from ..style import BLACK, BLUE, ORANGE, VERMILION
from .changes import Changes, changes_of, dropped, log_end, ticked

ROWS = 200  # a layer with more pairs shows only those that change
PAGE = 8.0  # inches of axes that a page holds
TICKS = 12  # neurons named on the axis
PALE = "#dedede"


@dataclass(frozen=True)
class _Rows:
    """One row per pair, by neuron, then sample; `height` of the axes in inches."""

    keys: np.ndarray
    samples: int
    height: float

    @property
    def pitch(self) -> float:
        """Points from row to row."""
        return 72 * (self.height - 0.5) / len(self.keys)

    def of(self, keys: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.keys, keys)


def raster_panels(result: Result) -> list[Panel]:
    """One panel per hidden layer whose pairs change; none without a log of changes."""
    events = result.group("events")
    if events is None or events.sizes.get("change", 0) == 0:
        return []
    layers = np.unique(events["event_layer"].values).tolist()
    tallest = max(PAGE / len(layers) - 0.5, 1.6)
    panels = [_panel(result, events, layer, tallest) for layer in layers]
    return [panels[0], *map(_without_legend, panels[1:])]


def _panel(result: Result, events: xr.Dataset, layer: int, tallest: float) -> Panel:
    changes = changes_of(events, layer)
    fork = _fork(result, changes)
    whole = changes.pairs <= ROWS
    shown = np.arange(changes.pairs) if whole else np.unique([*changes.key, *fork])
    rows = _Rows(shown, changes.samples, float(np.clip(0.9 + 0.02 * len(shown), 1.6, tallest)))
    ticks, names, rules = _neurons(rows)
    end, missing = log_end(events), dropped(events)
    return Panel(
        title=[_counts(changes, missing > 0), *_notes(result, changes, rows)],
        ylabel="neuron (rows: samples)",
        curves=[],
        scale="linear",
        window=(end, float(result.times[-1])) if missing > 0 else None,
        window_label=f"log full: {missing} more changes (flow.exact.events)",
        limits=(-0.8, len(shown) - 0.2),
        ticks=ticks,
        tick_labels=names,
        bars=_bars(changes, rows, whole),
        marks=_marks(changes, rows, fork),
        rules=rules,
        listing=_listing(changes),
        height=rows.height,
        wide=True,
    )


def _bars(changes: Changes, rows: _Rows, whole: bool) -> list[Bars]:
    """Sliding intervals; behind them, where every pair has a row, those with h > 0."""
    key, start, end = changes.spans(0)
    thick = float(np.clip(0.8 * rows.pitch, 0.9, 4.0))
    slides = Bars(start, end, rows.of(key), "slides on h = 0", BLACK, thick)
    if not whole or changes.start_above is None:
        return [slides]
    key, start, end = changes.active()
    return [Bars(start, end, rows.of(key), "active (h > 0)", PALE, rows.pitch, behind=True), slides]


def _marks(changes: Changes, rows: _Rows, fork: dict[int, float]) -> list[Marks]:
    size = float(np.clip(1.2 * rows.pitch, 2.0, 4.5))
    marks = []
    for name, became, colour, marker in (
        ("crosses up", 1, VERMILION, "^"),
        ("crosses down", -1, BLUE, "v"),
    ):
        use = changes.crossed & (changes.became == became)
        heights = rows.of(changes.key[use])
        marks.append(Marks(changes.time[use], heights, name, colour, marker, size))
    for key, time in fork.items():
        unit, sample = divmod(key, changes.samples)
        name = f"not unique at t = {brief(time)}: neuron {unit}, sample {sample}"
        place = rows.of(np.array([key]))
        marks.append(Marks(np.array([time]), place, name, ORANGE, "*", 10.0))
    return marks


def _fork(result: Result, changes: Changes) -> dict[int, float]:
    """Key and time of the first place where the flow is not unique, if it is in this layer."""
    about = result.section("kinks").get("fork")
    if not about or about["layer"] != changes.layer:
        return {}
    return {about["unit"] * changes.samples + about["sample"]: float(about["time"])}


def _neurons(rows: _Rows) -> tuple[tuple[float, ...], tuple[str, ...], tuple[float, ...]]:
    """Ticks amid the rows of a neuron, their names, and lines between the neurons."""
    units = rows.keys // rows.samples
    names, first = np.unique(units, return_index=True)
    edges = np.append(first, len(units)) - 0.5
    middles = (edges[1:] + edges[:-1]) / 2
    chosen = ticked(names, TICKS)
    labels = tuple(str(name) for name in names[chosen])
    return tuple(middles[chosen].tolist()), labels, tuple(edges[1:-1].tolist())


def _counts(changes: Changes, full: bool) -> str:
    slides = changes.became == 0
    crossings, count = int(np.sum(changes.crossed)), int(np.sum(slides))
    lasting = int(np.sum(slides & changes.last))
    return (
        f"layer {changes.layer}: {crossings} crossing{'s' * (crossings != 1)}, "
        f"{count} slide{'s' * (count != 1)} ({lasting} at the {'log’s end' if full else 'end'})"
    )


def _notes(result: Result, changes: Changes, rows: _Rows) -> list[str]:
    notes = []
    if len(rows.keys) < changes.pairs:
        notes.append(f"rows: the {len(rows.keys)} of {changes.pairs} pairs that change")
    if log_spaced(result.times):
        before = int(np.sum(changes.time < result.times[result.times > 0][0]))
        notes += [f"{before} changes lie before the axis"] if before else []
    return notes


def _listing(changes: Changes) -> Listing:
    order = np.argsort(changes.time, kind="stable")
    unit, sample = np.divmod(changes.key, changes.samples)
    layer = np.full(len(order), changes.layer)
    return Listing(
        {
            "time": ("time of the change", changes.time[order]),
            "layer": ("hidden layer", layer),
            "neuron": ("neuron, from 0", unit[order]),
            "sample": ("sample, from 0", sample[order]),
            "became": ("-1 below h = 0, 0 sliding on it, 1 above", changes.became[order]),
        }
    )


def _without_legend(panel: Panel) -> Panel:
    """What the first panel's legend says need not be said again; a fork is said where it is."""
    bars = [replace(bars, label=None) for bars in panel.bars]
    marks = [m if m.marker == "*" else replace(m, label=None) for m in panel.marks]
    return replace(panel, bars=bars, marks=marks)
