"""A verdict in a few words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..content import BAD, GOOD, PLAIN


@dataclass(frozen=True)
class Tile:
    """`value` under a `label`, a `note` below; `numbers`: what of the summary it says, by dotted
    key."""

    key: str
    label: str
    value: str
    note: str
    mark: str = PLAIN
    numbers: Mapping[str, float | int | None] = field(default_factory=dict)


def verdict_mark(good: bool) -> str:
    return GOOD if good else BAD


def bounds_tile(verdicts: Mapping[str, Mapping[str, Any]], note: str) -> Tile:
    """How many of the bounds of [expect] hold."""
    holding = sum(bool(verdict["ok"]) for verdict in verdicts.values())
    said = f"{holding} of {len(verdicts)} hold"
    return Tile("expect", "Bounds", said, note, verdict_mark(holding == len(verdicts)))
