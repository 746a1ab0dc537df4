"""What was learned: labels that are right, the loss on samples held out, and the user's own
records."""

from dataclasses import replace

from ..store.result import Result
from .panel import Curve, Panel, brief, last
from .style import BLUE, DASHED, ORANGE, SOLID, STYLES, layer_colours, named, plain_text

WIDEST = 12  # columns of a record that are drawn


def with_held_out(result: Result, panels: list[Panel]) -> list[Panel]:
    """The panel of the loss with that of samples held out, if that was recorded."""
    values = result.values("test-loss")
    if values is None or not panels:
        return panels
    first, *rest = panels
    held_out = Curve("test-loss", "loss of samples held out", values, "held out", ORANGE, DASHED)
    own = [replace(curve, label=curve.label or "learned from") for curve in first.curves]
    title = [*first.title, f"held out: ends at {brief(last(values))}"]
    return [replace(first, curves=[*own, held_out], title=title), *rest]


def accuracy_panels(result: Result) -> list[Panel]:
    """Shares of labels that are right."""
    looks = {
        "accuracy": ("learned from", BLUE, SOLID),
        "test-accuracy": ("held out", ORANGE, DASHED),
    }
    curves, title = [], []
    for name, (label, colour, style) in looks.items():
        values = result.values(name)
        if values is not None:
            meaning = f"share of labels that are right, samples {label}"
            curves.append(Curve(name, meaning, values, label, colour, style))
            title.append(f"{label}: {100 * last(values):.3g} % right at the end")
    limits = (-0.02, 1.02)
    return [Panel(title, "labels right", curves, scale="linear", limits=limits)] if curves else []


def own_panels(result: Result) -> list[Panel]:
    """A panel for each of the user's own records that has at most WIDEST columns."""
    found = []
    for name in result.section("observed"):
        values = result.values(name)
        if values is None or values.ndim > 2 or values.reshape(len(values), -1).shape[1] > WIDEST:
            continue
        entries = [""] if values.ndim == 1 else result.entries(name)
        colours = layer_colours(len(entries))
        labels = named(entries) if values.ndim == 2 else [None]
        about = plain_text(result.label(name), 60)
        curves = [
            Curve(f"{name} {entry}".strip(), about, column, label, colour, STYLES[i % len(STYLES)])
            for i, (entry, column, label, colour) in enumerate(
                zip(entries, values.reshape(len(values), -1).T, labels, colours, strict=True)
            )
        ]
        found.append(Panel([plain_text(name)], about, curves))
    return found
