"""What a sweep will do: its members, grouped by the program that runs them."""

import itertools
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ..config import load
from ..config.errors import ConfigError
from ..config.imports import read_anew
from ..config.resolve import Resolved, resolve_config
from ..ensembles import Grid
from .axes import coordinates_in, grid_of, label, structural, with_values

TRIED = 2_000  # combinations of values that are resolved before anything runs
ASK = 20_000  # members above which a sweep has to be confirmed


class SweepPlan:
    """A sweep's config (`table`, with its [sweep]) and all that follows from it alone: making one
    looks nothing up and imports no code that the config names.

    `table` says the order of the axes. `programs`: members by the program that runs them. Numbers
    and seeds are arrays to JAX, all other values are compiled in.
    """

    def __init__(self, table: dict[str, Any], base: Path, name: str):
        self.base = base
        self.trusted: set[int] = set()  # programs that this process has run a member of
        self.section = load.parse_sweep(table)
        self.grid: Grid = grid_of(self.section)
        axes = {**table["sweep"], "order": list(self.grid.names())}
        self.table = {"name": name, **table, "sweep": axes}
        self.name = str(self.table["name"])
        self.precision = str(table.get("precision", "float64"))

    def config(self, member: int) -> dict[str, Any]:
        """The tables of a member's own config."""
        return with_values(self.table, self.grid.values(member))

    def coordinates(self, member: int) -> dict[str, Any]:
        """Where a member belongs, as its own config says it."""
        return coordinates_in(self.config(member), self.grid)

    def resolve(self, member: int) -> Resolved:
        """A member's config. ConfigError, which names the member, if it is none."""
        try:
            resolved = resolve_config(load.parse(self.config(member)), self.base)
        except ConfigError as error:
            # The key of the error alone tells where one value is at fault, but not which of them.
            raise ConfigError(error.key, f"{error.what} ({self.described(member)})") from error
        if resolved.flow.devices not in (None, 1):
            what = f"is {resolved.flow.devices}, but members of a sweep run on one each; remove it"
            raise ConfigError("flow.devices", what)
        return resolved

    def described(self, member: int) -> str:
        """A member's values in a few words."""
        named = (f"{key} = {label(value)}" for key, value in self.grid.values(member).items())
        return "member with " + ", ".join(named)

    @cached_property
    def programs(self) -> list[list[int]]:
        return list(self.grid.groups(structural(self.grid)).values())

    def check(self) -> None:
        """Resolve one member for every combination of values but seeds (at most TRIED of them)."""
        seeds = lambda axis: all(key.split(".")[-1] == "seed" for key in axis.columns)  # noqa: E731
        apart = frozenset(axis.name for axis in self.grid.axes if not seeds(axis))
        groups = self.grid.groups(apart)
        for members in itertools.islice(groups.values(), TRIED):
            self.resolve(members[0])

    def text(self) -> str:
        """`3 programs x 64 members: rule.kind (3) x seed (64)`."""
        apart = structural(self.grid)
        count = math.prod(axis.size for axis in self.grid.axes if axis.name in apart)
        each = self.grid.size // count
        programs = f"{count} program{'s' if count > 1 else ''}"
        axes = " x ".join(_axis_text(axis) for axis in self.grid.axes)
        return f"{programs} x {each} member{'s' if each > 1 else ''}: {axes}"


def plan_of(path: str | Path, overrides: Sequence[str] = ()) -> SweepPlan:
    """The plan of a config with a [sweep], a file or a shipped one. ConfigError if it is bad."""
    given = load.read(path)
    table = load.apply_overrides(given.table, overrides)
    table.pop("provenance", None)
    read_anew()
    plan = SweepPlan(table, given.base, given.name)
    plan.resolve(0)
    return plan


def _axis_text(axis: Any) -> str:
    name = axis.name if len(axis.columns) == 1 else "(" + ", ".join(axis.columns) + ")"
    return f"{name} ({axis.size})"
