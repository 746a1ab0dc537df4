"""The overview of a result: the first panel of each of its first figures, on one page.

It is drawn after every run, so it is laid out beforehand: matplotlib's own layout measures every
letter, and with that a page takes twice as long.
"""

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from .frame import Frame
from .legend import legend_columns, legend_entries
from .panel import Panel
from .render import render, title_lines
from .style import COLUMN, plain_text

PANELS, COLUMNS = 4, 2
DPI = 150
# Inches around the axes: left for ticks and their label, right, above, below for the time.
LEFT, RIGHT, TOP, BOTTOM = 0.64, 0.1, 0.1, 0.46
LINE, ENTRY, HEAD = 0.13, 0.14, 0.3  # of a title or a label, of a legend, of the page's title


def overview(groups: Iterator[list[Panel]], frame: Frame) -> tuple[list[Panel], Figure | None]:
    """The page and its panels, of figures as `FIGURES` has them; no more of them are made than are
    shown. No page without panels."""
    panels: list[Panel] = []
    while len(panels) < PANELS and (group := next(groups, None)) is not None:
        panels += group[:1]
    return panels, _page(panels, frame) if panels else None


def _page(panels: Sequence[Panel], frame: Frame) -> Figure:
    columns = min(COLUMNS, len(panels))
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    above = [TOP + LINE * max(len(title_lines(panel, frame)) for panel in row) for row in rows]
    below = [BOTTOM + ENTRY * max(_entries(panel, frame) for panel in row) for row in rows]
    inside = [max(panel.height for panel in row) - 0.5 for row in rows]
    width, height = COLUMN * columns, HEAD + sum(above) + sum(below) + sum(inside)
    figure = Figure(figsize=(width, height))
    top = height - HEAD
    for row, title, axes, rest in zip(rows, above, inside, below, strict=True):
        for column, panel in enumerate(row):
            left = COLUMN * column + LEFT + LINE * panel.ylabel.count("\n")
            right = COLUMN * (column + 1) - RIGHT
            bottom = top - title - axes
            place = (left / width, bottom / height, (right - left) / width, axes / height)
            render(figure.add_axes(place), panel, frame)
        top -= title + axes + rest
    said = {"x": 0.07 / width, "y": 1 - 0.07 / height, "ha": "left", "va": "top"}
    figure.suptitle(plain_text(frame.name, 44 * columns), color="#444444", **said)
    return figure


def _entries(panel: Panel, frame: Frame) -> int:
    """Lines of its legend."""
    entries = legend_entries(panel, frame)
    return -(-len(entries) // legend_columns(entries, frame)) if entries else 0
