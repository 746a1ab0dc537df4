"""`[flow] project`: by how much the laws were put back."""

from collections.abc import Mapping
from typing import Any

from .measure import Flown, Measure, Section, line
from .tables import number


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    del summary
    corrected = flown.solution.corrected
    return None if corrected is None else {"corrected": float(corrected)}


def _line(projection: Mapping[str, Any]) -> str:
    share = number(projection["corrected"])
    return f"the laws were put back after every step, by {share} of their scale in all"


PROJECTION = Measure("projection", _section, line("projection", _line))
