"""Regions of states in which more is kept than everywhere: what kinks leave asleep, or tie.

In such a region the orbit is smaller. Laws of a region hold as long as a flow stays in it.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .abstract import AbstractFields
from .lie import Draw, find_orbit

ENOUGH = 8  # states, for a sign that they share to be no chance
MOST_ENTRIES = 16  # whose signs are compared, pair by pair


class Region(NamedTuple):
    """The states with so many `laws`, as a share of those looked at; `signs`: what all of them have
    and not all others have, "u < 0" of entries or "u v > 0" of pairs."""

    laws: int
    share: float
    signs: tuple[str, ...]


def find_regions(
    fields: AbstractFields,
    names: Sequence[str],
    rng: np.random.Generator,
    count: int,
    draw: Draw | None = None,
) -> tuple[Region, ...]:
    """`count` random states by how many laws they have, most states first; states whose rank has
    no clear gap are left out. `names`: of the counted entries."""
    points = (draw or fields.random_states)(rng, count)
    laws, told = [], []
    for point in points:
        orbit = find_orbit(fields, rng, 1, lambda _, many, at=point: np.tile(at, (many, 1)))
        if orbit.closed and orbit.rank.clear:
            laws.append(len(fields.counted) - orbit.rank.rank)
            told.append(point[list(fields.counted)])
    states, of = np.array(told), np.array(laws)
    regions = [
        Region(int(value), float(np.mean(of == value)), _shared(states, of == value, names))
        for value in np.unique(of)
    ]
    return tuple(sorted(regions, key=lambda region: -region.share))


def _shared(states: np.ndarray, inside: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """Signs that all states inside have, and not all outside."""
    if np.sum(inside) < ENOUGH or np.all(inside):
        return ()
    entries = range(len(names))
    sets: list[tuple[int, ...]] = [(i,) for i in entries]
    if len(names) <= MOST_ENTRIES:
        sets += itertools.combinations(entries, 2)
    found = []
    for some in sets:
        signs = np.sign(np.prod(states[:, some], axis=1))
        own = signs[inside][0]
        if np.all(signs[inside] == own) and np.any(signs[~inside] != own):
            found.append(f"{' '.join(names[i] for i in some)} {'>' if own > 0 else '<'} 0")
    return tuple(found)
