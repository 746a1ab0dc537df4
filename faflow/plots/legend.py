"""Legends: below the axes, small, with what a caption would say of lines and marks."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from .frame import Frame
from .panel import Curve, Marks, Panel
from .style import BLACK, plain_text

MARGIN = 0.2  # inches of a column that a legend leaves
CROSS: dict[str, Any] = {"marker": "x", "color": BLACK, "markersize": 5.0, "markeredgewidth": 1.3}


def look(curve: Curve) -> dict[str, Any]:
    """How matplotlib is to draw a curve, in the axes and in their legend."""
    return {
        "color": curve.colour,
        "linestyle": curve.style,
        "linewidth": curve.width,
        "marker": curve.marker,
        "markersize": 3.2,
        "markerfacecolor": "white" if curve.hollow else curve.colour,
    }


def mark_look(marks: Marks) -> dict[str, Any]:
    """How matplotlib is to draw marks, in the axes and in their legend."""
    return {
        "color": marks.colour,
        "linestyle": "none",
        "marker": marks.marker,
        "markersize": marks.size,
        "markeredgewidth": 0.0,
    }


def legend(ax: Axes, panel: Panel, frame: Frame) -> None:
    """Below the axes, where it hides nothing; a single line whose axis names it needs none."""
    entries = legend_entries(panel, frame)
    if len(entries) == 0:
        return
    gap = 30.0 if frame.log_time else 26.0  # points: what stands below a time axis
    moved = (-0.35 * frame.scale, -gap / 72.0 * frame.scale)
    below = ScaledTranslation(*moved, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=ax.transAxes + below,
        borderaxespad=0.0,
        ncols=legend_columns(entries, frame),
        handlelength=2.4,
        columnspacing=1.0,
        labelspacing=0.3,
    )


def legend_columns(entries: list, frame: Frame) -> int:
    """As many columns as a page's column holds."""
    # inches: the sample and the text at 6.8 points
    widths = [0.42 + 0.051 * len(entry.get_label()) for entry in entries]
    for columns in range(min(3, len(entries)), 1, -1):
        if sum(max(column) for column in np.array_split(widths, columns)) <= frame.width - MARGIN:
            return columns
    return 1


def legend_entries(panel: Panel, frame: Frame) -> list:
    """Proxy artists: labelled curves, guides, bars, marks, the window, the end."""
    curves = [curve for curve in panel.curves if curve.label]
    entries: list = [
        Line2D([], [], label=curve.label, **look(curve))
        for curve in curves
        if len(panel.curves) + len(panel.guides) + len(panel.bands) > 1
    ]
    entries += [
        Patch(color=band.colour, alpha=band.alpha, linewidth=0, label=band.label)
        for band in panel.bands
        if band.label
    ]
    if panel.cells is not None:
        pairs = zip(panel.cells.words, panel.cells.colours, strict=True)
        entries += [Patch(color=colour, linewidth=0, label=word) for word, colour in pairs]
    for guide in panel.guides:
        if not guide.label:
            continue
        style: Any = {"color": guide.colour, "linestyle": guide.style}
        entries.append(Line2D([], [], label=guide.label, **style))
    for bars in panel.bars:
        if bars.label:
            thick = min(max(bars.thickness, 2.0), 5.0)
            entries.append(Line2D([], [], color=bars.colour, linewidth=thick, label=bars.label))
    for marks in panel.marks:
        if marks.label:
            look_large = {**mark_look(marks), "markersize": max(marks.size, 4.0)}
            entries.append(Line2D([], [], label=marks.label, **look_large))
    if panel.window is not None:
        entries.append(Patch(color="#ececec", linewidth=0, label=panel.window_label))
    if frame.early:
        label = f"ended early{frame.end}: {plain_text(frame.status, 24)}"
        entries.append(Line2D([], [], linestyle="none", **CROSS, label=label))
    return entries
