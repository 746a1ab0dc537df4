"""What a curve is compared with, in its figure: fitted and predicted rates, floors."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...compare.subject import Subject
from ...plots.decay import residual_panels
from ...plots.style import GREEN
from ..figures import Choices, PageFigure, literal, numbers

MOST = 2  # runs whose rates are drawn; of more they stand in the table
_DASHES = {GREEN: "dash"}


def with_guides(figure: PageFigure, subjects: Sequence[Subject], choices: Choices) -> PageFigure:
    """The figure with the lines that its curves are verdict_mark by."""
    runs = [subject for subject in subjects if subject.members is None]
    if figure.key == "residual" and len(runs) <= MOST:
        lines = [line for run in runs for line in _rates(run, choices)]
    elif figure.key == "alignment_inner":
        lines = [line for run in runs for line in _floors(run, figure)]
    else:
        return figure
    return replace(figure, traces=[*figure.traces, *lines])


def _rates(run: Subject, choices: Choices) -> Iterator[dict[str, Any]]:
    """exp(-r t), fitted above the data, predicted below, as `faflow plot` draws them."""
    lead = f"{run.cases[0]}: " if len(choices.case) > 1 else ""
    for panel in residual_panels(run.result):
        for guide in panel.guides:
            if guide.times.size:
                look = {"color": guide.colour, "dash": _DASHES.get(guide.colour, "dot")}
                yield _line(run, "", lead + guide.label, guide.times, guide.values, look)


def _floors(run: Subject, figure: PageFigure) -> Iterator[dict[str, Any]]:
    """A floor under each inner product that has one."""
    floors = run.result.section("alignment").get("floor") or []
    curves = [trace for trace in figure.traces if trace["meta"]["case"] == run.cases[0]]
    for curve, floor in zip(curves, floors, strict=False):
        if floor is None:
            continue
        ends = np.array([curve["x"][0], curve["x"][-1]], float)
        meta = curve["meta"]
        look = {"color": curve["line"]["color"], "dash": "dot"}
        label = f"floor of {meta['label']}"
        yield _line(run, meta["layer"], label, ends, np.full(2, float(floor)), look)


def _line(
    run: Subject, layer: str, label: str, times: np.ndarray, values: np.ndarray, look: dict
) -> dict[str, Any]:
    meta = {"case": run.cases[0], "layer": layer, "law": "", "seed": "", "guide": True}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(times),
        "y": numbers(values, 7),
        "name": literal(label),
        "line": {"width": 1.5, **look},
        "hoverinfo": "skip",
        "meta": {**meta, "label": label},
    }
