"""Maps: one coloured cell per pair of values, with its number where there is room."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize

from .panel import Cells, Panel, brief
from .style import plain_text

PRINTED = 12  # rows and columns of a map whose values are written into its cells
NAMED = 12  # values named on an axis
FILLING = 6  # more columns than these fill a page's two columns
NARROW, WIDE = 48, 110  # letters below a map of either width
NONE = "#d0d0d0"


def draw_cells(ax: Axes, panel: Panel, cells: Cells) -> None:
    """The map of a panel, its colours explained by a bar or, for kinds, by a legend."""
    ax.grid(False)
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(cells.values),
        cmap=_colours(cells),
        norm=_scale(cells),
        edgecolors="white",
        linewidth=0.4 if max(cells.values.shape) <= 40 else 0.0,
    )
    ax.set_facecolor(NONE)
    _ticks(ax, cells)
    ax.set_xlabel(plain_text(cells.xlabel, 60))
    ax.set_ylabel(panel.ylabel)
    if cells.words:
        ax.invert_yaxis()  # a list is read downwards, numbers grow upwards
        return
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, aspect=30)
    low, high = map(float, mesh.get_clim())
    if cells.log and high < 100 * low:
        ticks = np.geomspace(low, high, 4)
        bar.set_ticks(ticks.tolist(), labels=[brief(float(tick), 2) for tick in ticks])
        bar.minorticks_off()
    if max(cells.values.shape) <= PRINTED:
        _print(ax, cells, mesh)


def _colours(cells: Cells):
    return ListedColormap(list(cells.colours)) if cells.words else matplotlib.colormaps["viridis"]


def _scale(cells: Cells) -> Normalize:
    if cells.words:
        return Normalize(-0.5, len(cells.words) - 0.5)
    known = cells.values[np.isfinite(cells.values)]
    known = known[known > 0] if cells.log else known
    low, high = (float(known.min()), float(known.max())) if known.size else (1.0, 1.0)
    if cells.log:
        return LogNorm(low, high) if low < high else LogNorm(low / 10, high * 10)
    return Normalize(low, high) if low < high else Normalize(low - 0.5, high + 0.5)


def _ticks(ax: Axes, cells: Cells) -> None:
    for axis, labels in ((ax.xaxis, cells.columns), (ax.yaxis, cells.rows)):
        every = -(-len(labels) // NAMED)
        told = axis is ax.xaxis and len(cells.along) > 0
        places = np.asarray(cells.along) if told else np.arange(0, len(labels), every)
        axis.set_ticks(places + 0.5, [plain_text(labels[i], 34) for i in places])
        axis.set_tick_params(length=0)
    room = WIDE if len(cells.columns) > FILLING else NARROW
    if not cells.along and sum(len(label) + 2 for label in cells.columns[:NAMED]) > room:
        ax.tick_params(axis="x", labelrotation=45)


def _print(ax: Axes, cells: Cells, mesh) -> None:
    """Numbers, dark on light colours and light on dark ones."""
    for (row, column), value in np.ndenumerate(cells.values):
        text, colour = "–", "black"
        if np.isfinite(value):
            text = brief(float(value), 2)
            red, green, blue, _ = mesh.cmap(mesh.norm(value))
            colour = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
        size = 6.5 if cells.values.shape[1] <= 8 else 5.5
        where = {"ha": "center", "va": "center", "fontsize": size, "color": colour}
        ax.text(column + 0.5, row + 0.5, text, **where)
