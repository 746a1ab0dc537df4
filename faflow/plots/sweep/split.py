"""Which combinations of parameters share a panel, and what all figures of a sweep say of them."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...sweeps.distribution import Combination, Members, Parameter
from ..panel import brief
from ..style import FEW, LAYERS, gradient, plain_text

LETTERS = 64  # of a legend's entry, at most
PANELS = 8  # of a figure, at most


class Line(NamedTuple):
    """A combination of parameters as a legend names it; `column`: as a table does."""

    place: Combination
    label: str
    column: str
    colour: str


class LineGroup(NamedTuple):
    """A panel: what its lines have in common ("" if they are all there are), and they."""

    title: str
    lines: list[Line]


def split(parameters: Sequence[Parameter]) -> tuple[list[LineGroup], list[str]]:
    """Panels of at most FEW lines, a line per value of the parameter with most values, and notes
    on the values that found no room: of many numbers some are chosen evenly."""
    chosen = [list(range(parameter.size)) for parameter in parameters]
    if np.prod([len(places) for places in chosen]) <= FEW:
        lines = _lines(parameters, itertools.product(*chosen), list(range(len(parameters))))
        return [LineGroup("", lines)], []
    along = max(range(len(parameters)), key=lambda i: parameters[i].size)
    if parameters[along].numbers is not None:
        chosen[along] = _evenly(parameters[along].size, FEW)
    pages = [chosen[along][i : i + FEW] for i in range(0, len(chosen[along]), FEW)]
    others = [i for i in range(len(parameters)) if i != along]
    while len(pages) * np.prod([len(chosen[i]) for i in others]) > PANELS and others:
        longest = max(others, key=lambda i: len(chosen[i]))
        if len(chosen[longest]) == 1:
            break
        chosen[longest] = _evenly(parameters[longest].size, len(chosen[longest]) - 1)
    groups = []
    for places in itertools.product(*(chosen[i] for i in others)):
        fixed = dict(zip(others, places, strict=True))
        title = ", ".join(_name(parameters[i], k) for i, k in fixed.items())
        for page in pages[:PANELS]:
            wanted = [fixed | {along: k} for k in page]
            found = [tuple(place[i] for i in range(len(parameters))) for place in wanted]
            groups.append(LineGroup(title, _lines(parameters, found, [along])))
    shown = {**{i: chosen[i] for i in others}, along: [k for page in pages[:PANELS] for k in page]}
    notes = [
        f"{len(shown[i])} of {parameter.size} values of {plain_text(parameter.key)} are shown"
        for i, parameter in enumerate(parameters)
        if len(shown[i]) < parameter.size
    ]
    return groups, notes


def evenly_chosen(parameter: Parameter, count: int) -> list[int]:
    """At most `count` places of a parameter, its ends among them."""
    return _evenly(parameter.size, count)


def failures(members: Members) -> list[str]:
    """Who did not run as far as was asked, counted by what became of them."""
    failed = members.statuses[~members.orderly]
    if not failed.size:
        return []
    counts = ", ".join(
        f"{n} {plain_text(word)}" for word, n in sorted(Counter(failed.tolist()).items())
    )
    return [f"{failed.size} of {members.statuses.size} flows did not run to their end: {counts}"]


def kept_verdict(members: Members, law: str, places: Sequence[Combination]) -> str:
    """How well a law was kept, in words, by the members at these places."""
    drift, kept = members.drift(law), members.figure(f"laws.{law}.kept")
    if drift is None:
        return "drift not measured"
    worst = np.concatenate([drift[place] for place in places])
    known = np.isfinite(worst)
    holds = known & (np.concatenate([kept[p] for p in places]) == 1 if kept is not None else False)
    count, keeping = int(known.sum()), int(holds.sum())
    if count == 0:
        return "no flow has a measured drift"
    everyone = _all(count)
    if count < worst.size:
        everyone = f"all {count} (of {worst.size}) that recorded it"
    if keeping == count:
        return f"kept to {_largest(worst[holds])} in {everyone}"
    rest = f"drift up to {_largest(worst[known & ~holds])}"
    if keeping == 0:
        none = f"a law in {everyone.replace('all', 'none of', 1)}" if count > 1 else "not a law"
        return f"{none}: {rest}"
    return f"kept to {_largest(worst[holds])} in {keeping} of {count} flows; in the others {rest}"


def _largest(values: np.ndarray) -> str:
    return brief(float(values.max()), 2)


def _all(count: int) -> str:
    return f"all {count} flows" if count > 1 else "the one flow"


def _evenly(size: int, count: int) -> list[int]:
    return np.unique(np.round(np.linspace(0, size - 1, min(size, count))).astype(int)).tolist()


def _name(parameter: Parameter, place: int, width: int = 48) -> str:
    return plain_text(f"{parameter.short} {parameter.labels[place]}", width)


def _lines(parameters: Sequence[Parameter], places, named: list[int]) -> list[Line]:
    found = list(places)
    ordered = len(named) == 1 and parameters[named[0]].numbers is not None
    colours = gradient(len(found)) if ordered else LAYERS
    return [
        Line(
            place,
            ", ".join(_name(parameters[i], place[i], LETTERS // len(named)) for i in named)
            or "all flows",
            " ".join(f"{p.key}={p.labels[k]}" for p, k in zip(parameters, place, strict=True)),
            colours[n % len(colours)],
        )
        for n, place in enumerate(found)
    ]
