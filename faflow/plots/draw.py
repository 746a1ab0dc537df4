"""Draw every figure that a stored result has records for."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from ..drawn import note_drawn
from ..store.result import Result
from .alignment import alignment_panels
from .decay import exponent_panels, loss_panels, residual_panels
from .discrete import discrete_panels
from .drift import drift_panels
from .forecast import forecast_panels
from .frame import Frame, run_frame
from .kernel import kernel_panels
from .learned import accuracy_panels, own_panels
from .legend import legend_columns, legend_entries
from .overview import DPI, overview
from .pairs.kinks import event_panels, gate_panels
from .pairs.raster import raster_panels
from .panel import Panel
from .population import population_panels
from .progress import cost_panels, limit_panels, norm_panels
from .render import render, title_lines
from .style import COLUMN, HOUSE, FigureStyle, house_style, plain_text
from .table import csv_table
from .wide import wide_kernel_panels, wide_panels

Panels = Callable[[Result], list[Panel]]

FIGURES: dict[str, Panels] = {
    "drift": drift_panels,
    "forecast": forecast_panels,
    "raster": raster_panels,
    "wide": wide_panels,
    "wide-kernels": wide_kernel_panels,
    "residual": residual_panels,
    "alignment": alignment_panels,
    "loss": loss_panels,
    "accuracy": accuracy_panels,
    "own": own_panels,
    "norms": norm_panels,
    "limit": limit_panels,
    "exponent": exponent_panels,
    "kernel": kernel_panels,
    "events": event_panels,
    "gates": gate_panels,
    "discrete": discrete_panels,
    "population": population_panels,
    "cost": cost_panels,
}
OVERVIEW = "overview"

# Nothing that changes from one run to the next.
_METADATA = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None, "ModDate": None},
}


def draw(
    result: Result, only: Sequence[str] | None = None, look: FigureStyle = HOUSE
) -> list[Path]:
    """Write `figures/<name>.png`, `.pdf` and `.csv` in a run's folder and return the paths.

    A figure without records is left out. `only`: names of figures, of `FIGURES` and "overview"; all
    by default. `look`: kinds of files, width, font, titles; the overview's page is of one look.
    """
    names = [*FIGURES, OVERVIEW] if only is None else list(only)
    unknown = [name for name in names if name not in {*FIGURES, OVERVIEW}]
    if unknown:
        valid = ", ".join([*FIGURES, OVERVIEW])
        raise ValueError(f"Argument `only` must hold names of {valid}, but holds '{unknown[0]}'.")
    frame, folder = dressed(run_frame(result), look), result.folder
    if folder is None:
        raise ValueError("Argument `result` must be stored, but has no folder; store it first.")
    if len(frame.times) == 0:
        return []
    written = []
    with house_style(look.scale):
        for name in names:
            if name != OVERVIEW:
                written += write_figure(folder, name, FIGURES[name](result), frame, 1, (), look)
    if OVERVIEW in names:
        with house_style():
            frame = run_frame(result)
            panels, page = overview((make(result) for make in FIGURES.values()), frame)
            written += [] if page is None else _put(folder, OVERVIEW, page, panels, frame, look)
    return written


def draw_overview(result: Result) -> Figure:
    """The overview of a run, stored or not. ValueError if there is nothing to draw."""
    with house_style():
        _, page = overview((make(result) for make in FIGURES.values()), run_frame(result))
    if page is None:
        raise ValueError("There is nothing to draw: the flow has no records.")
    return page


def write_figure(
    folder: Path,
    name: str,
    panels: list[Panel],
    frame: Frame,
    columns: int,
    heading: Sequence[str] = (),
    look: FigureStyle = HOUSE,
) -> list[Path]:
    """A figure's files; none without panels. `frame` is `dressed` in the look."""
    if not panels:
        return []
    if look.titles:
        figure = compose(panels, frame, columns, heading)
    else:
        bare = [replace(panel, title=[]) for panel in panels]
        figure = compose(bare, replace(frame, name=""), columns)
    figure.draw_without_rendering()  # lays out once: all files show the same picture
    figure.set_layout_engine(None)  # with "none" every file would be drawn twice
    return _put(folder, name, figure, panels, frame, look)


def dressed(frame: Frame, look: FigureStyle) -> Frame:
    """The frame of figures that look so."""
    return replace(frame, width=look.laid_out, scale=look.scale)


def _put(
    folder: Path,
    name: str,
    figure: Figure,
    panels: Sequence[Panel],
    frame: Frame,
    look: FigureStyle,
) -> list[Path]:
    """The files of a figure that is laid out."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    paths = [figures / f"{name}.{kind}" for kind in look.kinds]
    for path, kind in zip(paths, look.kinds, strict=True):
        if kind == "csv":
            path.write_text(csv_table(name, panels, frame), "utf-8", newline="\n")
        else:
            dpi = DPI if name == OVERVIEW else None
            figure.savefig(path, format=kind, dpi=dpi, metadata=_METADATA[kind])
    note_drawn(figures, [path.name for path in paths])
    return paths


def compose(
    panels: Sequence[Panel], frame: Frame, columns: int, heading: Sequence[str] = ()
) -> Figure:
    """Panels on a grid, the result's name and what is to be said of all of them above; each row as
    high as its legends need."""
    columns = min(columns, len(panels))
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    heights = [max(panel_height(panel, frame) for panel in row) for row in rows]
    wide = columns == 1 and all(panel.wide for panel in panels)
    across = 2 if wide else columns
    columns_wide = across * frame.width / COLUMN
    above = [plain_text(frame.name, int(44 * columns_wide))] if frame.name else []
    above += [line for text in heading for line in textwrap.wrap(text, int(56 * columns_wide))]
    width, height = frame.width * across, sum(heights) + 0.12 + 0.13 * len(above)
    size = (frame.scale * width, frame.scale * height)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        render(axes, panel, frame)
    if above:
        figure.suptitle("\n".join(above), x=0.01, ha="left", color="#444444")
    return figure


def panel_height(panel: Panel, frame: Frame) -> float:
    """Inches: the axes, and what stands above and below them."""
    entries = legend_entries(panel, frame)
    rows = -(-len(entries) // legend_columns(entries, frame)) if entries else 0
    lines = len(title_lines(panel, frame))
    return panel.height + 0.14 * rows + 0.13 * lines
