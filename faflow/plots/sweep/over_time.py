"""Over time: the median over seeds with bands, a curve per combination of parameters."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ...sweeps.distribution import Combination, Members, Spread, spread_of
from ..drift import FLOOR
from ..panel import Band, Curve, Panel, brief, last
from .series import Series, drift_series, on_common_times
from .split import Line, LineGroup, failures, kept_verdict, split

BANDED = 3  # lines of a panel whose bands are drawn, at most
COSINE, MATRICES = "alignment_cosine", 4
CUT = "a curve ends where the first of its flows does"


class Figure(NamedTuple):
    """Panels over `times`, and what is to be said above all of them."""

    times: np.ndarray
    panels: list[Panel]
    heading: list[str]


def record_figure(members: Members, name: str, ylabel: str, scale: str) -> Figure | None:
    """A record that is one number; None if it was not recorded."""
    records = members.record(name)
    return None if records is None else _of_records(members, records, name, ylabel, scale)


def alignment_figures(members: Members) -> dict[str, Figure]:
    """The cosine of weights and feedback, a figure per feedback matrix (the last ones of many)."""
    cosines = members.record(COSINE)
    if cosines is None or len(members.columns(COSINE)) != 1:
        return {}
    entries = list(enumerate(members.entries(COSINE)))[-MATRICES:]
    found = {}
    for place, entry in entries:
        ylabel = f"cos(W, F), feedback {entry}"
        name = f"alignment of {entry}"
        figure = _of_records(members, cosines[..., place], name, ylabel, "linear")
        if figure is not None:
            found["alignment" if len(entries) == 1 else f"alignment-{entry}"] = figure
    return found


def _of_records(
    members: Members, records: np.ndarray, name: str, ylabel: str, scale: str
) -> Figure | None:
    """Of records (parameters..., seeds, saves)."""
    if records.ndim != members.statuses.ndim + 1:
        return None
    series = on_common_times(members, records)
    if series is None:
        return None

    def verdict(places: list[Combination]) -> str:
        values = np.concatenate([records[place] for place in places])
        values = values[np.isfinite(values).any(axis=1)]
        if not len(values):
            return f"{name}: recorded by none"
        start, end = spread_of(values[:, 0], 0), spread_of(np.array([last(v) for v in values]), 0)
        middle = f"{brief(float(start.median))} → {brief(float(end.median))}"
        return f"{name}: median {middle} ({_flows(int(start.known))})"

    return _figure(members, series, name, ylabel, scale, verdict)


def drift_figure(members: Members, law: str) -> Figure | None:
    """How far a law drifted; None if its values and scales were not recorded."""
    series = drift_series(members, law)
    if series is None:
        return None
    decays = members.figure(f"laws.{law}.decay") is not None
    ylabel = "|Q(t) − Q(0) exp(−λt)| / scale" if decays else "|Q(t) − Q(0)| / scale"
    if np.any(series.values[..., 1:] < FLOOR):
        ylabel += f"\n(zero is drawn at {brief(FLOOR, 1)})"
    return _figure(
        members,
        series,
        f"drift of {law}",
        ylabel,
        "log",
        lambda places: kept_verdict(members, law, places),
        FLOOR,
    )


def _figure(
    members: Members,
    series: Series,
    what: str,
    ylabel: str,
    scale: str,
    verdict: Callable[[list[Combination]], str],
    floor: float | None = None,
) -> Figure:
    skip = 0 if floor is None else 1  # Q(0) - Q(0) says nothing
    groups, notes = split(members.parameters)
    panels = [
        Panel(
            title=[*([group.title] if group.title else []), verdict(_places(group))],
            ylabel=ylabel,
            curves=[_curve(series, line, what, floor, skip) for line in group.lines],
            bands=[
                band
                for line in group.lines
                for band in bands(members, series.values, group, line, what, floor, skip)
            ],
            scale=scale,
        )
        for group in groups
    ]
    heading = [verdict(list(members.combinations()))] if len(panels) > 1 or notes else []
    heading += [
        *bands_note(members, groups),
        *failures(members),
        *notes,
        *([CUT] if series.cut else []),
    ]
    return Figure(series.times, panels, heading)


def bands_note(members: Members, groups: Sequence[LineGroup]) -> list[str]:
    """What the bands are, or why there are none."""
    if not members.seeded:
        return []
    count = members.statuses.shape[-1]
    crowded = all(len(group.lines) > BANDED for group in groups)
    said = f"in the table, drawn of {BANDED} curves at most" if crowded else "10–90 % and all"
    return [f"median over {count} seeds; bands: {said}"]


def bands(
    members: Members,
    values: np.ndarray,
    group: LineGroup,
    line: Line,
    what: str,
    floor: float | None,
    skip: int = 0,
) -> list[Band]:
    """The quantiles, and lightly the extremes; none without seeds. Of a panel with more than BANDED
    lines they are in the table alone: drawn, they would mix their colours."""
    if not members.seeded:
        return []
    over = spread_of(values[line.place], 0)
    name = f"{what} {line.column}".strip()
    look, drawn = (None, line.colour), len(group.lines) <= BANDED
    inner = Band(f"{name} 10-90 %", what, over.lower, over.upper, *look, 0.25, skip, floor, drawn)
    outer = Band(f"{name} range", what, over.least, over.largest, *look, 0.1, skip, floor, drawn)
    return [outer, inner]


def _curve(series: Series, line: Line, what: str, floor: float | None, skip: int) -> Curve:
    over: Spread = spread_of(series.values[line.place], 0)
    return Curve(
        column=f"{what} {line.column}".strip(),
        meaning=f"{what}, median",
        values=over.median,
        label=line.label + ("" if np.any(over.known) else " (none)"),
        colour=line.colour,
        floor=floor,
        skip=skip,
    )


def _flows(count: int) -> str:
    return "1 flow" if count == 1 else f"{count} flows"


def _places(group: LineGroup) -> list[Combination]:
    return [line.place for line in group.lines]
