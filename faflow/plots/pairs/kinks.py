"""What an exact flow does at its kinks: events so far, sliding pairs, their gates."""

from __future__ import annotations

import numpy as np

from ...measures.variables.datasets import xr
from ...store.result import Result
from ..panel import Curve, Level, Panel
from ..style import BLUE, DASHED, DOTTED, FEW, GREEN, SOLID, STYLES, VERMILION, layer_colours, named

KINDS = {
    "crossed": ("pairs that crossed h = 0 so far", BLUE, SOLID),
    "landed": ("pairs that began to slide so far", VERMILION, DASHED),
    "left": ("pairs that stopped sliding so far", GREEN, DOTTED),
}


def event_panels(result: Result) -> list[Panel]:
    """How many pairs crossed, landed and left so far; how many slide, per hidden layer."""
    events = result.group("events")
    if events is None:
        return []
    changes = events["changes"]
    known = {str(kind): i for i, kind in enumerate(changes["kind"].values)}
    curves = [
        Curve(kind, meaning, changes.values[:, known[kind]].astype(float), kind, colour, style)
        for kind, (meaning, colour, style) in KINDS.items()
        if kind in known
    ]
    title = ", ".join(f"{curve.values[-1]:.0f} {curve.column}" for curve in curves)
    so_far = Panel([title], "pairs so far", curves, scale="linear", whole=True)
    return [so_far, _sliding(events["sliding"].values.astype(float), _hidden(events))]


def _sliding(counts: np.ndarray, hidden: list[int]) -> Panel:
    colours, labels = layer_colours(len(hidden)), named([f"layer {layer}" for layer in hidden])
    styles = STYLES if len(hidden) <= FEW else [SOLID] * len(hidden)
    meaning = "sliding pairs of hidden layer"
    curves = [
        Curve(
            f"sliding {layer}", f"{meaning} {layer}", counts[:, i], labels[i], colours[i], styles[i]
        )
        for i, layer in enumerate(hidden)
    ]
    total = counts.sum(axis=1)
    title = f"sliding: {total[-1]:.0f} at the end, at most {total.max():.0f} at a save"
    return Panel([title], "sliding pairs", curves, scale="linear", whole=True)


def gate_panels(result: Result) -> list[Panel]:
    """Per hidden layer the gate of every pair that slid at a save: at 0 or 1 the pair leaves."""
    events = result.group("events")
    if events is None:
        return []
    save, slot = np.nonzero(np.isfinite(events["gate"].values))
    layer, unit, sample, gate = (
        events[name].values[save, slot]
        for name in ("gate_layer", "gate_unit", "gate_sample", "gate")
    )
    return [
        _gates(k, save[layer == k], unit[layer == k], sample[layer == k], gate[layer == k], result)
        for k in _hidden(events)
        if np.any(layer == k)
    ]


def _gates(layer: int, save, unit, sample, gate, result: Result) -> Panel:
    """One line per pair, from dark to light in the order in which they land."""
    pairs, first, column = np.unique(
        np.stack([unit, sample], axis=1), axis=0, return_index=True, return_inverse=True
    )
    values = np.full((len(result.times), len(pairs)), np.nan)
    values[save, column.reshape(-1)] = gate
    order = np.argsort(first, kind="stable")  # entries come save by save
    labels = named([f"neuron {j}, sample {mu}" for j, mu in pairs[order].tolist()])
    curves = [
        Curve(
            column=f"gate {layer} {pairs[i, 0]} {pairs[i, 1]}",
            meaning=f"gate of neuron {pairs[i, 0]} of hidden layer {layer} at sample {pairs[i, 1]}",
            values=values[:, i],
            label=label,
            colour=colour,
            width=1.0 if len(pairs) <= 4 * FEW else 0.6,
        )
        for i, label, colour in zip(order, labels, layer_colours(len(pairs)), strict=True)
    ]
    return Panel(
        title=[f"layer {layer}: {len(pairs)} pairs slide at a save"],
        ylabel="gate",
        curves=curves,
        scale="linear",
        levels=[Level(0.0), Level(1.0)],
        limits=(-0.05, 1.05),
    )


def _hidden(events: xr.Dataset) -> list[int]:
    """The hidden layers, 1 being the first."""
    return [int(k) for k in events["hidden"].values]
