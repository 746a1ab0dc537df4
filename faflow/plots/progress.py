"""Norms, distance to a known limit, and the cost of the integration."""

import numpy as np

from ..store.result import Result
from .panel import Curve, Panel, brief, last
from .style import BLUE, DASHED, DOTTED, GREEN, SOLID, STYLES, VERMILION, layer_colours, named

LIMITS = {
    "minimum-norm": ("minimum_norm", "distance to the minimum-norm map"),
    "low-rank-limit": ("factorisation", "distance to the low-rank limit"),
    "exact-solution": ("exact_solution", "distance to the exact solution"),
}


def norm_panels(result: Result) -> list[Panel]:
    """||W_l|| per layer."""
    values = result.values("norms")
    if values is None or values.ndim != 2:
        return []
    entries = result.entries("norms")
    colours = layer_colours(len(entries))
    labels = named([f"layer {entry}" for entry in entries])
    few = all(label is not None for label in labels)
    curves = [
        Curve(
            column=f"norm {entry}",
            meaning=f"Frobenius norm of the weights of layer {entry}",
            values=values[:, i],
            label=labels[i],
            colour=colours[i],
            style=STYLES[i] if few else SOLID,
            width=1.3 if few else 0.8,
        )
        for i, entry in enumerate(entries)
    ]
    return [Panel(title=["weight norms"], ylabel="‖W‖ (Frobenius)", curves=curves)]


def limit_panels(result: Result) -> list[Panel]:
    """Relative distance of the network's map to the answer that is known beforehand."""
    curves, title = [], []
    for (record, (section, label)), colour, style in zip(
        LIMITS.items(), (BLUE, VERMILION, GREEN), (SOLID, DASHED, DOTTED), strict=True
    ):
        values = result.values(record)
        if values is None or values.ndim != 1:
            continue
        met = result.section(section).get("condition_met")
        condition = "" if met is None else ", condition met" if met else ", condition NOT met"
        curves.append(Curve(record, f"relative {label}", values, label, colour, style))
        title.append(f"{record}: ends {brief(last(values))} away{condition}")
    return [Panel(title, "relative distance", curves, scale="log")] if curves else []


def cost_panels(result: Result) -> list[Panel]:
    """Steps so far, and below the mean accepted step between saves."""
    accepted = result.values("steps")
    if accepted is None or accepted.ndim != 1:
        return []
    curves = [Curve("steps", "accepted steps so far", accepted, "accepted", BLUE)]
    rejected = result.values("rejected")
    if rejected is not None:
        curves.append(
            Curve("rejected", "rejected steps so far", rejected, "rejected", VERMILION, DASHED)
        )
    evaluations = result.values("field_evaluations")
    counts = [f"{last(accepted):.0f} steps"]
    counts += [] if rejected is None else [f"{last(rejected):.0f} rejected"]
    counts += [] if evaluations is None else [f"{last(evaluations):.0f} field evaluations"]
    sizes = mean_steps(result.times, accepted)
    meaning = "mean accepted step since the save before"
    step = Curve("mean step", meaning, sizes, None, GREEN, skip=1, stairs=True)
    panels = [Panel([", ".join(counts)], "steps so far", curves, scale="linear", whole=True)]
    if np.any(np.isfinite(sizes)):
        panels.append(Panel([], "mean step size", [step], scale="log"))
    return panels


def mean_steps(times: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Time passed over steps taken since the save before; nan where none was taken."""
    taken, passed = np.diff(steps), np.diff(times)
    sizes = np.full(len(times), np.nan)
    np.divide(passed, taken, out=sizes[1:], where=taken > 0)
    return sizes
