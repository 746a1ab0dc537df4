"""Against a parameter: medians over seeds with bands, a curve per value of another parameter."""

from dataclasses import replace

import numpy as np

from ...sweeps.distribution import Combination, Members, spread_of
from ..drift import FLOOR
from ..panel import Curve, Panel
from ..style import DASHED, MARKERS
from .over_time import Figure, bands, bands_note
from .quantities import Quantity, quantities
from .split import Line, LineGroup, failures, split


def against_figure(members: Members, along: int) -> Figure | None:
    """Everything that was measured against a parameter with numbers; None if it has none."""
    numbers = members.parameters[along].numbers
    if numbers is None or numbers.size < 2:
        return None
    order = np.argsort(numbers, kind="stable")
    others = [p for i, p in enumerate(members.parameters) if i != along]
    groups, notes = split(others)
    panels = [
        _panel(members, quantity, along, order, group)
        for quantity in quantities(members)
        for group in groups
    ]
    if not panels:
        return None
    heading = [*bands_note(members, groups), *failures(members), *notes]
    return Figure(numbers[order], panels, heading)


def _panel(
    members: Members, quantity: Quantity, along: int, order: np.ndarray, group: LineGroup
) -> Panel:
    values = _facing(quantity.values, along, order)
    predicted = None if quantity.predicted is None else _facing(quantity.predicted, along, order)
    curves = []
    for i, line in enumerate(group.lines):
        curve = _curve(values, line, quantity, MARKERS[i % len(MARKERS)])
        curves.append(curve)
        if predicted is not None:
            curves.append(_prediction(predicted, line, quantity, first=i == 0))
    places = [_whole(line.place, along, k) for line in group.lines for k in order.tolist()]
    return Panel(
        title=[quantity.verdict(members, places), *([group.title] if group.title else [])],
        ylabel=quantity.ylabel,
        curves=curves,
        bands=[
            band
            for line in group.lines
            for band in bands(members, values, group, line, quantity.name, _floor(quantity))
        ],
        scale=quantity.scale,
    )


def _floor(quantity: Quantity) -> float | None:
    return None if quantity.law is None else FLOOR


def _facing(values: np.ndarray, along: int, order: np.ndarray) -> np.ndarray:
    """(other parameters..., seeds, the parameter), the parameter in order."""
    return np.take(np.moveaxis(values, along, -1), order, axis=-1)


def _whole(place: Combination, along: int, k: int) -> Combination:
    return (*place[:along], k, *place[along:])


def _curve(values: np.ndarray, line: Line, quantity: Quantity, marker: str) -> Curve:
    return Curve(
        column=f"{quantity.name} {line.column}".strip(),
        meaning=f"{quantity.name}, median",
        values=spread_of(values[line.place], 0).median,
        label=line.label,
        colour=line.colour,
        marker=marker,
        floor=_floor(quantity),
    )


def _prediction(values: np.ndarray, line: Line, quantity: Quantity, first: bool) -> Curve:
    return replace(
        _curve(values, line, quantity, marker="o"),
        column=f"predicted rate {line.column}".strip(),
        meaning="predicted rate, median over the members that were fitted",
        label="predicted (dashed)" if first else None,
        style=DASHED,
        marker=None,
        width=0.9,
    )
