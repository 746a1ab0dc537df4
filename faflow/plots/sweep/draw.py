"""Draw every figure that a sweep has numbers for."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...store.result import Result
from ...sweeps.distribution import Members
from ..draw import dressed, write_figure
from ..frame import Frame
from ..panel import Panel
from ..style import HOUSE, FigureStyle, house_style
from .against import against_figure
from .maps import median_maps, status_map
from .over_time import alignment_figures, drift_figure, record_figure
from .quantities import own_records

RECORDS = {
    "loss": ("loss", "auto"), "residual": ("residual ‖e‖", "log"),
    "test-loss": ("loss, held out", "auto"), "accuracy": ("labels right", "linear"),
    "test-accuracy": ("labels right, held out", "linear"),
}  # fmt: skip


def draw_sweep(sweep: Result, look: FigureStyle = HOUSE) -> list[Path]:
    """Write `figures/<name>.png`, `.pdf` and `.csv` in the sweep's folder and return the paths.

    Over time: loss, residual, accuracy, the same of samples held out, one's own numbers, alignment,
    drifts of the laws; against every parameter with numbers what the
    members came to; maps of medians over two parameters; a map of statuses if not all completed.
    """
    members, folder, written = Members(sweep.records), sweep.folder, []
    assert folder is not None

    def put(figure: str, panels: list[Panel], heading: list[str], over: str, values) -> None:
        frame = dressed(Frame(sweep.name, np.asarray(values), over), look)
        stem = re.sub(r"[^\w.-]+", "-", figure)
        columns = 1 if len(panels) < 2 or all(panel.wide for panel in panels) else 2
        panels = _said_once(panels)
        written.extend(write_figure(folder, stem, panels, frame, columns, heading, look))

    with house_style(look.scale):
        own = {name: (name, "auto") for name in own_records(members)}
        for record, (ylabel, scale) in (RECORDS | own).items():
            figure = record_figure(members, record, ylabel, scale)
            if figure is not None:
                put(record, figure.panels, figure.heading, "time", figure.times)
        for measure, figure in alignment_figures(members).items():
            put(measure, figure.panels, figure.heading, "time", figure.times)
        for law in members.laws:
            figure = drift_figure(members, law)
            if figure is not None:
                heading = [f"law: {law}", *figure.heading]
                put(f"drift-{law}", figure.panels, heading, "time", figure.times)
        for along, parameter in enumerate(members.parameters):
            figure = against_figure(members, along)
            if figure is not None:
                over = parameter.key + (" (the width that varies)" if parameter.widths else "")
                put(f"against-{parameter.key}", figure.panels, figure.heading, over, figure.times)
        for found in [*median_maps(members), status_map(members)]:
            if found is not None:
                put(found.name, found.panels, found.heading, "map", [0.0])
    return written


def _said_once(panels: Sequence[Panel]) -> list[Panel]:
    """What an earlier panel's legend says of a curve need not be said again."""
    said: set[str] = set()
    found = []
    for panel in panels:
        labels = {curve.label for curve in panel.curves if curve.label}
        again = labels <= said
        curves = [replace(curve, label=None) if again else curve for curve in panel.curves]
        found.append(replace(panel, curves=curves))
        said |= labels
    return found
