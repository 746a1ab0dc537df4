"""What the solver did, as rows of text."""

from collections.abc import Iterator, Mapping

import numpy as np

from ..compare.subject import Subject
from ..measures.tables import number
from ..sweeps.distribution import Members, spread_of

_COLUMNS = {
    "steps": "steps", "rejected": "rejected", "field_evaluations": "field evaluations",
    "seconds": "seconds", "compile_seconds": "seconds compiling",
}  # fmt: skip


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
