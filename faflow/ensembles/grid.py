"""Product and zip grids: which values every member of an ensemble has."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple


class Axis(NamedTuple):
    """One dimension: what it varies, by name, `columns[name][i]` at its i-th place. Several names
    go along it together (zip)."""

    name: str
    columns: dict[str, tuple[Any, ...]]

    @property
    def size(self) -> int:
        return len(next(iter(self.columns.values())))


class Grid(NamedTuple):
    """The product of its axes; members are numbered with the last axis fastest."""

    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def place(self, member: int) -> tuple[int, ...]:
        """Where a member stands on every axis."""
        places = []
        for size in reversed(self.shape):
            member, place = divmod(member, size)
            places.append(place)
        return tuple(reversed(places))

    def values(self, member: int) -> dict[str, Any]:
        """What is varied, and its value for a member."""
        return {
            name: column[i]
            for axis, i in zip(self.axes, self.place(member), strict=True)
            for name, column in axis.columns.items()
        }

    def groups(self, apart: frozenset[str]) -> dict[tuple[int, ...], list[int]]:
        """Members by their places on the axes `apart`, those with everything there in common."""
        found: dict[tuple[int, ...], list[int]] = {}
        for member in range(self.size):
            places = zip(self.axes, self.place(member), strict=True)
            key = tuple(i for axis, i in places if axis.name in apart)
            found.setdefault(key, []).append(member)
        return found

    def names(self) -> Iterator[str]:
        """Everything that is varied."""
        for axis in self.axes:
            yield from axis.columns
