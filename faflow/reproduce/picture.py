"""Pages of panels, each with its frame, in the house's style."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from ..plots.draw import panel_height
from ..plots.frame import Frame
from ..plots.panel import Curve, Level, Panel, brief
from ..plots.render import render
from ..plots.style import DASHED, GREY, LAYERS, MARKERS, SOLID, house_style

Look = Literal["line", "dashed", "markers"]
COLUMNS, INCHES, DPI = 2, 4.0, 150
FLOOR = 1e-17  # where a drift of zero is drawn


def draw_page(path: Path, title: str, panes: Sequence[tuple[Panel, Frame]]) -> None:
    """One PNG, two panels to a row."""
    columns = min(COLUMNS, len(panes))
    rows = [panes[i : i + columns] for i in range(0, len(panes), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with house_style():
        heights = [max(panel_height(panel, frame) for panel, frame in row) for row in rows]
        lines = textwrap.wrap(title, 56 * columns)
        size = (INCHES * columns, sum(heights) + 0.3 + 0.16 * len(lines))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
        for i, (panel, frame) in enumerate(panes):
            render(figure.add_subplot(grid[i // columns, i % columns]), panel, frame)
        figure.suptitle("\n".join(lines), x=0.01, ha="left", color="#444444")
        figure.savefig(path, dpi=DPI, metadata={"Software": None})


def curves(
    named: Mapping[str, np.ndarray], *, look: Look = "line", first: int = 0, **more: Any
) -> list[Curve]:
    """One curve per entry, told apart by colour, from the `first` one on; "markers" alone are seen
    on top of a line that they agree with."""
    found = []
    for i, (name, values) in enumerate(named.items(), start=first):
        how: dict[str, Any] = {"style": DASHED if look == "dashed" else SOLID}
        if look == "markers":
            how = {"style": "none", "marker": MARKERS[i % len(MARKERS)], "hollow": True}
        colour = LAYERS[i % len(LAYERS)]
        values = np.asarray(values, float)
        found.append(Curve(name, name, values, name, colour=colour, **how, **more))
    return found


def drift_panel(title: str, named: Mapping[str, np.ndarray], bound: float, below: bool) -> Panel:
    """Relative drifts on a log axis, beside the bound that they are judged by."""
    word = "at most" if below else "a control: at least"
    return Panel(
        title=[title],
        ylabel="|Q(t) − Q(0)| / scale",
        curves=curves(named, floor=FLOOR, skip=1),
        scale="log",
        levels=[Level(bound, f"{word} {brief(bound, 1)}", GREY, DASHED)],
    )


def over(parameter: str, values: Sequence[float]) -> Frame:
    """A horizontal axis that is no time: the values of a parameter."""
    return Frame(parameter, np.asarray(values, float), parameter)


def named_by_layer(series: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Curves of hidden layers."""
    return {f"layer {l}": values for l, values in enumerate(series, start=1)}


def pairs(series: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Curves of weights with their feedback."""
    return {f"W{l} and B{l}": values for l, values in zip("₂₃₄₅₆", series, strict=False)}
