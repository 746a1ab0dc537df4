"""Maps over two parameters of medians over seeds, and of what became of every member."""

import itertools
from typing import NamedTuple

import numpy as np

from ...sweeps.distribution import Members, Parameter, spread_of
from ..cells import FILLING
from ..panel import Cells, Listing, Panel
from ..render import WIDE
from ..style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, plain_text
from .quantities import Quantity, quantities
from .split import evenly_chosen, failures

PAGES = 6  # maps of a figure, at most
ORDERLY, FAILED = (SKY, BLUE, GREEN), (VERMILION, ORANGE, PURPLE, "#000000", "#8a5a00")
LONG = 16  # letters of a row's name, beyond which a map of one column has little room left
WAITING, PENDING = "#b0b0b0", "pending"


class Map(NamedTuple):
    """Panels with cells, and what is to be said above all of them."""

    name: str
    panels: list[Panel]
    heading: list[str]


def median_maps(members: Members) -> list[Map]:
    """Of all that members came to, where two parameters (one at least of numbers) span a plane."""
    sizes = [parameter.size for parameter in members.parameters]
    numeric = [i for i, p in enumerate(members.parameters) if p.numbers is not None and p.size > 1]
    if not numeric or sum(size > 1 for size in sizes) < 2:
        return []
    x = max(numeric, key=lambda i: sizes[i])
    y = max((i for i in range(len(sizes)) if i != x), key=lambda i: sizes[i])
    return [_median_map(members, quantity, x, y) for quantity in quantities(members)]


def _median_map(members: Members, quantity: Quantity, x: int, y: int) -> Map:
    parameters = members.parameters
    over = spread_of(quantity.values, -1)
    others = [i for i in range(len(parameters)) if i not in (x, y)]
    chosen = {i: list(range(parameters[i].size)) for i in others}
    while np.prod([len(places) for places in chosen.values()]) > PAGES:
        longest = max(chosen, key=lambda i: len(chosen[i]))
        chosen[longest] = evenly_chosen(parameters[longest], len(chosen[longest]) - 1)
    rows, columns = _order(parameters[y]), _order(parameters[x])
    panels = []
    for places in itertools.product(*chosen.values()):
        fixed = dict(zip(others, places, strict=True))
        index = tuple(fixed.get(i, slice(None)) for i in range(len(parameters)))
        middle, count = (_plane(each[index], x < y) for each in (over.median, over.known))
        shown = [members.parameters[i] for i in fixed]
        named = [f"{p.short} {p.labels[k]}" for p, k in zip(shown, places, strict=True)]
        every = [
            tuple(fixed.get(i, k if i == x else j) for i in range(len(parameters)))
            for j in rows
            for k in columns
        ]
        text = quantity.verdict(members, every)
        panels.append(
            Panel(
                title=[*([plain_text(", ".join(named))] if named else []), plain_text(text, 90)],
                ylabel=plain_text(parameters[y].key, 40),
                curves=[],
                cells=Cells(
                    middle[np.ix_(rows, columns)],
                    tuple(parameters[y].labels[j] for j in rows),
                    tuple(parameters[x].labels[k] for k in columns),
                    parameters[x].key,
                    log=quantity.scale == "log" or (quantity.scale == "auto" and _wide(middle)),
                ),
                listing=_listing(members, fixed, x, y, middle, count),
                height=max(1.6, min(0.22 * len(rows) + 0.7, 5.0)),
                wide=len(columns) > FILLING,
            )
        )
    title = f"median of {quantity.name}"
    notes = [title + (f" over {members.statuses.shape[-1]} seeds" if members.seeded else "")]
    total = int(np.prod([parameters[i].size for i in others]))
    notes += [f"{len(panels)} of {total} planes are shown"] if len(panels) < total else []
    name = "rate" if quantity.name == "fitted rate" else quantity.law or quantity.name
    return Map(f"map-{name}", panels, [*notes, *failures(members)])


def status_map(members: Members) -> Map | None:
    """What became of every member; None if all ended alike and as asked."""
    words = sorted(set(members.statuses.ravel().tolist()))
    if len(words) == 1 and members.orderly.all():
        return None
    codes = np.vectorize(words.index)(members.statuses).astype(float)
    seeds = codes.shape[-1]
    flat = codes.reshape(-1, seeds)
    names = [
        ", ".join(p.labels[i] for p, i in zip(members.parameters, place, strict=True))
        for place in members.combinations()
    ]
    keys = ", ".join(parameter.key for parameter in members.parameters)
    orderly = set(members.statuses[members.orderly].tolist())
    good, bad = iter(itertools.cycle(ORDERLY)), iter(itertools.cycle(FAILED))
    colours = [
        WAITING if word == PENDING else next(good) if word in orderly else next(bad)
        for word in words
    ]
    told = failures(members) or [f"all {codes.size} flows ran to their end"]
    panel = Panel(
        title=[],
        ylabel=plain_text(keys, 60) if keys else "",
        curves=[],
        cells=Cells(
            flat,
            tuple(names),
            tuple(map(str, range(seeds))),
            "seed (its place on the axis)" if members.seeded else "",
            words=tuple(plain_text(f"{w} ({np.sum(codes == i)})") for i, w in enumerate(words)),
            colours=tuple(colours),
        ),
        listing=Listing(
            {
                "parameters": (keys or "none", np.repeat(names, seeds)),
                "seed": ("place on the axis of seeds", np.tile(np.arange(seeds), len(names))),
                "status": ("how the flow ended", members.statuses.reshape(-1)),
            }
        ),
        height=max(1.2, min(0.13 * len(names) + 0.5, 6.0)),
        wide=seeds > 16 or max(map(len, names)) > LONG,
    )
    return Map("status", [panel], told)


def _wide(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return bool(known.size and known.min() > 0 and known.max() > WIDE * known.min())


def _plane(values: np.ndarray, transpose: bool) -> np.ndarray:
    """(y, x), whichever of the two came first."""
    return values.T if transpose else values


def _order(parameter: Parameter) -> list[int]:
    if parameter.numbers is None:
        return list(range(parameter.size))
    return np.argsort(parameter.numbers, kind="stable").tolist()


def _listing(members: Members, fixed: dict[int, int], x: int, y: int, middle, count) -> Listing:
    rows, columns = middle.shape
    found = {}
    for i, parameter in enumerate(members.parameters):
        labels = np.asarray(parameter.labels)
        if i in fixed:
            values = np.repeat(labels[fixed[i]], middle.size)
        else:
            values = np.tile(labels, rows) if i == x else np.repeat(labels, columns)
        found[parameter.key] = ("the parameter", values)
    found["median"] = ("over the members", middle.reshape(-1))
    found["members"] = ("that it is over", count.reshape(-1))
    return Listing(found)
