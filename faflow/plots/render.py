"""Panels onto axes: lines, levels, the fit window, the mark of an early end."""

import textwrap

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, NullLocator

from .cells import draw_cells
from .frame import Frame
from .legend import CROSS, legend, look, mark_look
from .panel import Band, Curve, Level, Panel
from .style import COLUMN, Powers, plain_text

WIDE = 20.0  # an "auto" axis is logarithmic from this ratio of largest to smallest on
HUGE = 1e280  # beyond, an axis has no room for margins
MARKS = 7  # markers per curve
TICKED = 8  # values of a parameter that are all named on its axis
_HALO = [withStroke(linewidth=2.0, foreground="white")]


def render(ax: Axes, panel: Panel, frame: Frame) -> None:
    """Draw one panel."""
    if panel.cells is not None:
        draw_cells(ax, panel, panel.cells)
        ax.set_title("\n".join(title_lines(panel, frame)))
        legend(ax, panel, frame)
        return
    log = _is_log(panel)
    _window(ax, panel, frame)
    _rows(ax, panel, frame)
    for band in filter(lambda band: band.drawn, panel.bands):
        _band(ax, band, frame, log)
    for curve in panel.curves:
        _line(ax, curve, frame, log)
    for guide in panel.guides:
        ax.plot(guide.times, guide.values, color=guide.colour, linestyle=guide.style, zorder=3)
    _axes(ax, panel, frame, log)
    levels = [level for level in panel.levels if not log or level.value > 0]
    for level in levels:
        _level(ax, level)
    _headroom(ax, [level.value for level in levels if level.text])
    for axis in (ax.xaxis, ax.yaxis):
        low, high = axis.get_view_interval()
        if axis.get_scale() == "log" and high > 1e3 * low:
            axis.set_minor_locator(NullLocator())
    ax.set_title("\n".join(title_lines(panel, frame)))
    legend(ax, panel, frame)


def drawn_points(curve: Curve, frame: Frame, log: bool) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve as they are drawn: what a log axis cannot show is left out."""
    times, values = frame.times[curve.skip :], curve.values[curve.skip :]
    if curve.floor is not None:
        values = np.where(np.isnan(values), np.nan, np.maximum(values, curve.floor))
    visible = (np.abs(values) < HUGE) & ((values > 0) | (not log))
    values = np.where(visible, values, np.nan)
    use = times > 0 if frame.log_time else np.full(len(times), True)
    return times[use], values[use]


def _is_log(panel: Panel) -> bool:
    values = np.concatenate([np.zeros(0), *(curve.values for curve in panel.curves)])
    finite = values[np.abs(values) < HUGE]
    positive = finite[finite > 0]
    if panel.scale != "auto":
        floored = any(curve.floor for curve in panel.curves)
        drawn = floored or len(positive) > 0 or not panel.curves
        return panel.scale == "log" and drawn
    if len(positive) == 0 or len(positive) < len(finite):
        return False
    return bool(np.log10(positive.max()) - np.log10(positive.min()) > np.log10(WIDE))


def _line(ax: Axes, curve: Curve, frame: Frame, log: bool) -> None:
    times, values = drawn_points(curve, frame, log)
    ax.plot(
        times,
        values,
        **look(curve),
        markevery=max(1, len(times) // MARKS),
        drawstyle="steps-pre" if curve.stairs else "default",
    )
    points = np.flatnonzero(np.isfinite(values))
    # A curve that stopped before the flow did has no cross.
    if frame.early and len(points) and not np.isnan(curve.values[-1]):
        _cross(ax, float(times[points[-1]]), float(values[points[-1]]))
    near = np.isfinite(np.concatenate([[np.nan], values, [np.nan]]))
    alone = points[~near[points] & ~near[points + 2]]  # no line runs through them
    look_alone = {"color": curve.colour, "marker": ".", "markersize": 2.5 * curve.width}
    ax.plot(times[alone], values[alone], linestyle="none", **look_alone)


def _band(ax: Axes, band: Band, frame: Frame, log: bool) -> None:
    use = frame.times > 0 if frame.log_time else np.full(len(frame.times), True)
    use[: band.skip] = False
    least = (band.floor or np.finfo(float).tiny) if log else -np.inf
    lower, upper = (np.maximum(edge[use], least) for edge in (band.lower, band.upper))
    ax.fill_between(
        frame.times[use],
        lower,
        upper,
        color=band.colour,
        alpha=band.alpha,
        linewidth=0,
        zorder=1.5,
    )


def _rows(ax: Axes, panel: Panel, frame: Frame) -> None:
    """Bars and marks on rows of their own, and lines between the groups of rows."""
    if not panel.bars and not panel.marks:
        return
    ax.grid(False, axis="y")
    edges = ax.get_yaxis_transform()
    ax.hlines(panel.rules, 0, 1, transform=edges, colors="#c4c4c4", linewidth=0.4, zorder=1.3)
    early = float(np.min(frame.times[frame.times > 0])) / 10 if frame.log_time else -np.inf
    for bars in panel.bars:
        ax.hlines(
            bars.heights,
            np.maximum(bars.starts, early),
            bars.ends,
            colors=bars.colour,
            linewidth=bars.thickness,
            capstyle="butt",
            zorder=1.2 if bars.behind else 1.4,
        )
    for marks in panel.marks:
        ax.plot(marks.times, marks.heights, **mark_look(marks), zorder=2.5)
    if frame.early and panel.limits:
        _cross(ax, float(frame.times[-1]), panel.limits[0])


def _cross(ax: Axes, time: float, value: float) -> None:
    ax.plot([time], [value], **CROSS, zorder=5, clip_on=False)


def _window(ax: Axes, panel: Panel, frame: Frame) -> None:
    if panel.window is None:
        return
    start, end = panel.window
    if frame.log_time:
        start = max(start, float(np.min(frame.times[frame.times > 0])))
    if start < end:
        ax.axvspan(start, end, color="#ececec", zorder=0.5, linewidth=0)


def _axes(ax: Axes, panel: Panel, frame: Frame, log: bool) -> None:
    if frame.log_time:
        ax.set_xscale("log")
    if log:
        ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(Powers())
            axis.set_minor_formatter(Powers())
    ax.set_ylim(*(panel.limits or _value_limits(panel, frame, log)))
    if panel.ticks is not None:
        ax.set_yticks(panel.ticks, panel.tick_labels)
    elif not log:
        steps = [1, 2, 2.5, 5, 10]
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=steps, integer=panel.whole))
    zero = bool(frame.log_time and len(frame.times) > 0 and frame.times[0] <= 0)
    if frame.over == "time":
        ax.set_xlabel("time (log axis, without t = 0)" if zero else "time")
    else:
        _parameter(ax, frame, zero)
    ax.set_ylabel(panel.ylabel)
    _time_limits(ax, frame)


def _parameter(ax: Axes, frame: Frame, zero: bool) -> None:
    """A parameter's axis: ticks at its own values, where these are few."""
    ax.set_xlabel(plain_text(frame.over, 50) + (" (log axis, without 0)" if zero else ""))
    values = frame.times[frame.times > 0] if frame.log_time else frame.times
    if len(values) <= TICKED:
        ax.set_xticks(values, [f"{value:.3g}" for value in values])
        ax.xaxis.set_minor_locator(NullLocator())


def _time_limits(ax: Axes, frame: Frame) -> None:
    """All saves, in every panel, also where a curve has values at a few of them only."""
    times = frame.times[frame.times > 0] if frame.log_time else frame.times
    start, end = float(times[0]), float(times[-1])
    if frame.log_time:
        margin = (end / start) ** 0.02
        ax.set_xlim(start / margin, end * margin)
    else:
        margin = 0.02 * (end - start) or 1.0
        ax.set_xlim(start - margin, end + margin)


def _level(ax: Axes, level: Level) -> None:
    ax.axhline(level.value, color=level.colour, linestyle=level.style, linewidth=0.9, zorder=1.5)
    if level.text:
        ax.annotate(
            level.text,
            xy=(1.0, level.value),
            xycoords=ax.get_yaxis_transform(),
            xytext=(-2, 1.5),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=level.colour,
            fontsize=rcParams["legend.fontsize"],
            path_effects=_HALO,
            zorder=6,
        )


def _value_limits(panel: Panel, frame: Frame, log: bool) -> tuple[float, float]:
    """Around all that is drawn; on a log axis two decades at least: a flat line looks flat."""
    parts = [drawn_points(curve, frame, log)[1] for curve in panel.curves]
    parts += [guide.values for guide in panel.guides]
    edges = [edge[b.skip :] for b in panel.bands if b.drawn for edge in (b.lower, b.upper)]
    parts += [edge[edge > 0] if log else edge for edge in edges]
    parts += [np.asarray([level.value for level in panel.levels if level.value > 0 or not log])]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    values = np.log10(values) if log else values
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    margin = 0.05 * (high - low)
    if log:
        margin = max(margin, 1.0 - (high - low) / 2)
        return 10.0 ** (low - margin), 10.0 ** (high + margin)
    margin = margin if margin > 1e-9 * max(abs(low), abs(high)) else 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _headroom(ax: Axes, values: list[float]) -> None:
    """Room for what is written on a level: it stands below the upper tenth of the axes."""
    forward, back = ax.yaxis.get_transform(), ax.yaxis.get_transform().inverted()
    low, high = forward.transform(np.asarray(ax.get_ylim()))
    top = max(forward.transform(np.asarray(values)), default=low)
    if top > low + 0.89 * (high - low):
        ax.set_ylim(top=float(back.transform(np.asarray([low + (top - low) / 0.89]))[0]))


def title_lines(panel: Panel, frame: Frame) -> list[str]:
    """The title, broken into lines as wide as the axes."""
    letters = int(52 * frame.width / COLUMN)
    return [
        line for text in panel.title
        for line in textwrap.wrap(text, letters, break_on_hyphens=False)
    ]  # fmt: skip
