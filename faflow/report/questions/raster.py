"""The raster of an exact ReLU flow: who is active, crosses h = 0 or slides along it, and when."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...compare.subject import Subject
from ...plots.pairs.changes import Changes, changes_of, dropped, ticked
from ...plots.style import BLUE, GREEN, ORANGE, VERMILION
from ..figures import PageFigure, base_layout, literal, numbers

ROWS = 200  # a layer with more pairs shows only those that change
MOST = 8000  # intervals, and crossings of each kind, that are drawn of a layer
TICKS = 12  # neurons named on the axis
ACTIVE = "rgba(128,128,128,0.30)"


def raster_layers(subject: Subject) -> list[int]:
    """Hidden layers whose pairs change; none without a log of changes."""
    events = None if subject.members is not None else subject.result.group("events")
    if events is None or events.sizes.get("change", 0) == 0:
        return []
    return np.unique(events["event_layer"].values).astype(int).tolist()


def raster_figures(subject: Subject, several: bool) -> Iterator[PageFigure]:
    """One figure per hidden layer whose pairs change."""
    layers = raster_layers(subject)
    events = subject.result.group("events") if layers else None
    for layer in layers:
        assert events is not None
        changes = changes_of(events, layer)
        name = f"Kinks of layer {layer}" + (f": {subject.cases[0]}" if several else "")
        missing = dropped(events)
        caption = _caption(changes) + (f"; {missing} more changes after its end" * (missing > 0))
        meta = {"case": subject.cases[0], "layer": str(layer), "law": "", "seed": ""}
        rows = _rows(changes)
        layout = base_layout("neuron (rows: samples)", log=False)
        layout |= {"hovermode": "closest", "showlegend": True}
        layout["yaxis"] |= _neurons(rows // changes.samples)
        traces = _traces(subject, changes, rows, meta)
        yield PageFigure(f"raster-{layer}", name, caption, traces, layout)


def _caption(changes: Changes) -> str:
    crossed, slides = int(np.sum(changes.crossed)), int(np.sum(changes.became == 0))
    told = f"{crossed} crossings, {slides} slides of {changes.pairs} pairs (neuron, sample)"
    rows = np.unique(changes.key).size
    told += f"; drawn are the {rows} that change" if changes.pairs > ROWS else ""
    return told + (f"; at most {MOST} marks of a kind" if changes.key.size > MOST else "")


def _rows(changes: Changes) -> np.ndarray:
    """Keys of the pairs that have a row: all of a few, else those that change."""
    return np.arange(changes.pairs) if changes.pairs <= ROWS else np.unique(changes.key)


def _neurons(units: np.ndarray) -> dict[str, Any]:
    """Ticks amid the rows of a neuron."""
    names, first = np.unique(units, return_index=True)
    edges = np.append(first, len(units)) - 0.5
    middles, use = (edges[1:] + edges[:-1]) / 2, ticked(names, TICKS)
    ticks = {"tickvals": middles[use].tolist(), "ticktext": list(map(str, names[use]))}
    return {**ticks, "tickmode": "array", "showgrid": False, "zeroline": False}


def _traces(
    subject: Subject, changes: Changes, rows: np.ndarray, meta: dict[str, Any]
) -> list[dict[str, Any]]:
    thick = float(np.clip(400 / len(rows), 1.5, 8.0))  # pixels from row to row
    found = []
    if changes.pairs <= ROWS and changes.start_above is not None:
        spans = changes.active()
        found.append(_bars(spans, rows, changes, "active (h > 0)", ACTIVE, thick, meta))
    spans = changes.spans(0)
    found.append(_bars(spans, rows, changes, "slides on h = 0", GREEN, 0.8 * thick, meta))
    for name, became, colour, symbol in (
        ("crosses up", 1, VERMILION, "triangle-up"),
        ("crosses down", -1, BLUE, "triangle-down"),
    ):
        use = np.flatnonzero(changes.crossed & (changes.became == became))[:MOST]
        look = {"color": colour, "symbol": symbol, "size": 6}
        found.append(_marks(changes.time[use], changes.key[use], rows, changes, name, look, meta))
    fork = subject.summary.get("kinks", {}).get("fork")
    if fork and fork["layer"] == changes.layer:
        key = np.array([fork["unit"] * changes.samples + fork["sample"]])
        look = {"color": ORANGE, "symbol": "star", "size": 12}
        time = np.array([float(fork["time"])])
        found.append(_marks(time, key, rows, changes, "not unique", look, meta))
    return found


def _bars(spans, rows, changes: Changes, name: str, colour: str, width: float, meta):
    """Intervals as one line with gaps."""
    key, start, end = (each[:MOST] for each in spans)
    times = np.stack([start, end, np.full(len(key), np.nan)], axis=1).ravel()
    places = np.repeat(_row(key, rows), 3).astype(float)
    return {
        "type": "scatter",
        "x": numbers(times), "y": numbers(places), "mode": "lines", "name": literal(name),
        "meta": meta, "line": {"color": colour, "width": width},
        "text": np.repeat(_pairs(key, changes), 3).tolist(), "connectgaps": False,
        "hovertemplate": "%{text}, t = %{x:.4~g}",
    }  # fmt: skip


def _marks(times, key, rows, changes: Changes, name: str, look, meta):
    return {
        "type": "scatter",
        "x": numbers(times), "y": numbers(_row(key, rows)), "mode": "markers",
        "name": literal(name), "marker": look, "meta": meta, "text": _pairs(key, changes).tolist(),
        "hovertemplate": "%{text}, t = %{x:.4~g}",
    }  # fmt: skip


def _row(key: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.searchsorted(rows, key)


def _pairs(key: np.ndarray, changes: Changes) -> np.ndarray:
    unit, sample = np.divmod(key, changes.samples)
    pairs = [f"neuron {u}, sample {s}" for u, s in zip(unit, sample, strict=True)]
    return np.array(pairs, dtype=object)
