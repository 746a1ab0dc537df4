"""Alignment of weights with feedback and of deltas with backprop's, and its certificate."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..store.result import Result
from .panel import Curve, Level, Panel
from .style import DASHED, FEW, GREY, MARKERS, SOLID, Dashes, layer_colours, named, plain_text

SLACK = 1e-6  # relative: a floor may be touched to the solver's accuracy, as in the certificate


def alignment_panels(result: Result) -> list[Panel]:
    """Angles; below them, where the summary gives floors, inner products above their floors."""
    weights = _family(result, "alignment_degrees", "weights vs", "angle in degrees", SOLID)
    deltas = _family(result, "delta-alignment_degrees", "deltas,", "angle in degrees", DASHED)
    panels = []
    if weights or deltas:
        panels.append(_angles(result, weights + deltas))
    inner = _inner(result, legend=not panels)
    return [*panels, inner] if inner else panels


def _angles(result: Result, curves: list[Curve]) -> Panel:
    top = max(float(np.nanmax(curve.values)) for curve in curves)
    high = 180.0 if top > 120 else 120.0 if top > 90 else 96.0
    return Panel(
        title=[_verdict(result)],
        ylabel="angle (degrees)",
        curves=curves,
        scale="linear",
        levels=[Level(90.0, "90°: no alignment", GREY)],
        limits=(min(0.0, high), high),
        ticks=tuple(float(tick) for tick in range(0, int(high) + 1, 30)),
    )


def _inner(result: Result, legend: bool) -> Panel | None:
    floors = dict(zip(_inner_columns(result), _floors(result), strict=False))
    curves = _family(result, "alignment_inner", "weights vs", "inner product <W, F>", SOLID)
    pairs = [(curve, floors.get(curve.column, np.nan)) for curve in curves]
    known = [(curve, floor) for curve, floor in pairs if np.isfinite(floor)]
    if not known:
        return None
    above = all(
        np.nanmin(curve.values) >= floor - SLACK * np.nanmax(np.abs(curve.values))
        for curve, floor in known
    )
    return Panel(
        title=["inner products " + ("stay" if above else "do NOT stay") + " above floors (dashed)"],
        ylabel="⟨W, F⟩",
        curves=[curve if legend else replace(curve, label=None) for curve, _ in known],
        scale="linear",
        levels=[*(Level(floor, None, curve.colour, DASHED) for curve, floor in known), _ZERO],
    )


_ZERO = Level(0.0, None, GREY)


def _floors(result: Result) -> list[float]:
    """One floor per inner product, nan where none is known (direct feedback's lower layers)."""
    told = result.section("alignment").get("floor") or []
    return [float("nan") if floor is None else float(floor) for floor in told]


def _inner_columns(result: Result) -> list[str]:
    if result.values("alignment_inner") is None:
        return []
    return [f"alignment_inner {entry}" for entry in result.entries("alignment_inner")]


def _family(result: Result, record: str, what: str, meaning: str, style: Dashes) -> list[Curve]:
    """One curve per column of a (time, layer) record: colour and marker say which layer."""
    values = result.values(record)
    if values is None or values.ndim != 2:
        return []
    axis = result.axes(record)[1].replace("_", " ")
    entries = result.entries(record)
    names = [f"{what} {_entry(axis, entry)}" for entry in entries]
    colours, labels = layer_colours(len(names)), named(names)
    return [
        Curve(
            column=f"{record} {entries[i]}",
            meaning=f"{meaning}, {axis} {entries[i]}",
            values=values[:, i],
            label=labels[i],
            colour=colours[i],
            style=style,
            marker=MARKERS[i] if len(names) <= len(MARKERS) else None,
            hollow=style != SOLID,
            width=1.3 if len(names) <= FEW else 0.8,
        )
        for i in range(len(names))
        if np.any(np.isfinite(values[:, i]))
    ]


def _entry(axis: str, entry: str) -> str:
    """`feedback 2` for a number, else the entry's own name."""
    return f"{axis} {entry}" if entry.isdigit() else plain_text(entry.removesuffix(".weight"), 32)


def _verdict(result: Result) -> str:
    about: dict[str, Any] = result.section("alignment")
    if "certified" not in about:
        return "alignment (no certificate for this rule)"
    if about["certified"]:
        known = [floor is not None for floor in about.get("floor", ())]
        which = "" if all(known) else f"{sum(known)} of {len(known)} "
        return f"{which}certified from the start: {'their ' if which else ''}angles stay below 90°"
    return "not certified: the angles are only what was measured"
