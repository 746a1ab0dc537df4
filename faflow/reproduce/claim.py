"""A claim of a paper and how it is put to the test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .check import Reading
from .session import Session


class Findings(NamedTuple):
    """What a test measured, and its picture."""

    measures: Sequence[Reading]
    figure: str | None = None


@dataclass(frozen=True)
class Claim:
    """`claim` in our words, `source`: theorem or equation; `scope`, `remark`: whether what was
    found is narrower or wider than printed, and how; `test` measures it. `boundary`: what of the
    paper's is smaller here, or is not run; `refuted`: the claim is false as printed."""

    name: str
    claim: str
    source: str
    scope: Literal["as stated", "narrower", "wider"]
    remark: str
    test: Callable[[Session], Findings]
    boundary: str = ""
    refuted: bool = False


@dataclass(frozen=True)
class Paper:
    """A source and its claims, in the order in which they are checked."""

    title: str
    claims: tuple[Claim, ...]
