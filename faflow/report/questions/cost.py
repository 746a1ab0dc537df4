"""What the solver did."""

from collections.abc import Iterator, Mapping

import numpy as np

from ...compare.subject import Subject
from ...measures.tables import number
from ...sweeps.distribution import Members, spread_of
from ..content import Content, Fold, plain_table
from ..material import Material
from .names import COST

FEW = 8  # rows that are shown at once
_COLUMNS = {
    "steps": "steps", "rejected": "rejected", "field_evaluations": "field evaluations",
    "seconds": "seconds", "compile_seconds": "seconds compiling",
}  # fmt: skip


def cost_block(material: Material) -> Content:
    """Steps over time, and the solver's counts in a table."""
    rows = [row for subject in material.subjects for row in cost_rows(subject)]
    first, *others = [*material.of(COST), None]
    more = Fold("Rejected steps, field evaluations", figures=[f for f in others if f])
    table = plain_table("Work of the solver", rows)
    if len(rows) <= FEW:
        return Content(figures=[first] if first else [], tables=[table], folds=[more])
    counts = Fold(f"Work in {len(rows)} rows", tables=[table])
    return Content(figures=[first] if first else [], folds=[counts, more])


def cost_rows(subject: Subject) -> Iterator[dict[str, str]]:
    """One row for a run; for a sweep one per case, medians with the smallest and largest."""
    if subject.members is not None:
        for case, at in zip(subject.cases, subject.members.combinations(), strict=True):
            yield {"flow": case, **_swept(subject.members, at)}
        return
    solver: Mapping = subject.summary["solver"]
    numbers = {told: number(solver.get(key)) for key, told in _COLUMNS.items()}
    size = "step" if solver["step"] is not None else "rtol"
    how = f"{solver['name']} ({size} {number(solver[size])})"
    yield {"flow": subject.cases[0], "solver": how, **numbers}
    for leg in solver.get("chosen", ()):
        since = f"from t = {number(leg['from'])}: {leg['solver']}"
        work = {told: number(leg.get(key)) for key, told in _COLUMNS.items()}
        yield {"flow": "", "solver": f"{since}, {leg['reason']}", **work}


def _swept(members: Members, at) -> dict[str, str]:
    names = members.words("solver.name")
    found = {"solver": "-" if names is None else ", ".join(sorted({*names[at]} - {""}))}
    for key, told in _COLUMNS.items():
        values = members.figure(f"solver.{key}")
        # Members share their programs: what compiling took is in the seconds of the first.
        if values is None or key == "compile_seconds" or not np.any(np.isfinite(values[at])):
            found[told] = "-"
            continue
        over = spread_of(values[at], 0)
        low, high = number(float(over.least)), number(float(over.largest))
        found[told] = f"{number(float(over.median))} ({low} to {high})"
    return found
