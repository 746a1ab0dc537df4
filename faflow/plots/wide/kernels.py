"""Kernels of infinite width as heat maps, at a few times side by side."""

import numpy as np

from ...store.result import Result
from ..panel import Cells, Listing, Panel, brief

TIMES = 4  # maps in a row
MOST = 40  # samples that are shown
HEIGHT = 1.7


def wide_kernel_panels(result: Result) -> list[Panel]:
    """K, then the features of every layer, the last one first."""
    kernels = result.group("wide_kernels")
    if kernels is None:
        return []
    times = kernels["time"].values
    shown = np.asarray(shown_saves(kernels["tangent"].values))
    panels = [_maps("K", kernels["tangent"].values, times, shown)]
    for depth in kernels["depth"].values[:0:-1]:
        values = kernels["features"].values[:, depth]
        panels.append(_maps(f"features of layer {depth}", values, times, shown))
    return panels


def shown_saves(kernels: np.ndarray) -> list[int]:
    """The first and the last save; between them by equal shares of K's way, then of time."""
    steps = np.linalg.norm(np.diff(kernels, axis=0), axis=(1, 2))
    way = np.concatenate([[0.0], np.cumsum(np.nan_to_num(steps))])
    if not way[-1] > 0:
        return [0, len(kernels) - 1]
    wanted = np.linspace(0, way[-1], TIMES)
    found = {int(np.argmin(np.abs(way - share))) for share in wanted[:-1]} | {len(way) - 1}
    for save in np.linspace(0, len(way) - 1, TIMES).astype(int).tolist():
        if len(found) < TIMES:
            found.add(save)
    return sorted(found)


def _maps(name: str, kernels: np.ndarray, times: np.ndarray, shown: np.ndarray) -> Panel:
    samples = min(kernels.shape[1], MOST)
    blocks, labels, along = [], [], []
    for save in shown:
        if blocks:
            blocks.append(np.full((samples, 1), np.nan))
            labels.append("")
        along.append(len(labels) + samples // 2)
        labels += [f"t = {brief(float(times[save]), 2)}"] * samples
        blocks.append(kernels[save, :samples, :samples])
    first, end = kernels[shown[0]], kernels[shown[-1]]
    moved = np.linalg.norm(end - first) / np.linalg.norm(first)
    title = f"{name}: ends {brief(float(moved))} of its first norm away"
    if samples < kernels.shape[1]:
        title += f" (the first {samples} of {kernels.shape[1]} samples)"
    rows = tuple(str(i) for i in range(samples))
    cells = Cells(np.concatenate(blocks, 1), rows, tuple(labels), "sample", along=tuple(along))
    return Panel(
        [title], "sample", [], cells=cells, listing=_listing(name, kernels, times, shown),
        height=HEIGHT, wide=True,
    )  # fmt: skip


def _listing(name: str, kernels: np.ndarray, times: np.ndarray, shown: np.ndarray) -> Listing:
    part = kernels[shown]
    count, rows, columns = part.shape
    index = np.indices(part.shape).reshape(3, -1)
    return Listing(
        {
            "kernel": ("which", np.full(part.size, name)),
            "time": ("time of the save", times[shown][index[0]]),
            "sample": ("row, from 0", index[1]),
            "other": ("column, from 0", index[2]),
            "value": (f"entries of {count} maps of {rows} x {columns}", part.reshape(-1)),
        }
    )
