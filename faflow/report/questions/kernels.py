"""Kernels of infinitely wide networks as heat maps, at a few times side by side."""

from collections.abc import Iterator

import numpy as np

from ...compare.subject import Subject
from ...plots.panel import brief
from ...plots.wide.kernels import MOST, shown_saves
from ..figures import PageFigure, base_layout, numbers

COLOURS = "Viridis"


def kernel_figures(subject: Subject, several: bool) -> Iterator[PageFigure]:
    """K, then the features of every layer, the last one first; none of other networks."""
    kernels = None if subject.members is not None else subject.result.group("wide_kernels")
    if kernels is None:
        return
    shown = shown_saves(kernels["tangent"].values)
    times = [brief(float(time), 2) for time in kernels["time"].values[shown]]
    found = [("K", kernels["tangent"].values[shown])]
    for depth in kernels["depth"].values[:0:-1].tolist():
        found.append((f"Features of layer {depth}", kernels["features"].values[shown, depth]))
    for name, maps in found:
        title = f"{name} at infinite width"
        title += f": {subject.cases[0]}" if several else ""
        moved = np.linalg.norm(maps[-1] - maps[0]) / np.linalg.norm(maps[0])
        caption = f"ends {brief(float(moved))} of its first norm away"
        if maps.shape[1] > MOST:
            caption += f"; the first {MOST} of {maps.shape[1]} samples"
        yield _figure(name, title, caption, maps[:, :MOST, :MOST], times, subject.cases[0])


def _figure(
    name: str, title: str, caption: str, maps: np.ndarray, times: list[str], case: str
) -> PageFigure:
    count, samples = maps.shape[:2]
    gap = np.full((count, samples, 1), np.nan)
    values = np.concatenate([maps, gap], 2).transpose(1, 0, 2).reshape(samples, -1)[:, :-1]
    columns = np.arange(values.shape[1])
    within = columns % (samples + 1)
    text = [[f"sample {row}, sample {column}" for column in within] for row in range(samples)]
    trace = {
        "type": "heatmap",
        "x": columns.tolist(),
        "y": list(range(samples)),
        "z": [numbers(row, 6) for row in values],
        "text": text,
        "colorscale": COLOURS,
        "hovertemplate": "%{text}: %{z:.4~g}<extra></extra>",
        "meta": {"case": case, "layer": "", "law": "", "seed": ""},
    }
    layout = {**base_layout("sample", log=False, xlabel="time"), "hovermode": "closest"}
    middles = [i * (samples + 1) + (samples - 1) / 2 for i in range(count)]
    ticks = {"tickmode": "array", "tickvals": middles, "ticktext": [f"t = {t}" for t in times]}
    layout["xaxis"] |= {**ticks, "showgrid": False, "zeroline": False}
    step = max(1, samples // 10)
    layout["yaxis"] |= {"showgrid": False, "zeroline": False, "tick0": 0, "dtick": step}
    key = f"map-{name.lower().replace(' ', '-')}"
    return PageFigure(key, title, caption, [trace], layout, timed=False)
