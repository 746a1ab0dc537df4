"""The figures of several results side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..measures.tables import number
from ..sweeps.distribution import Members, spread_of
from ..sweeps.figures import flat_figures
from .subject import Subject

Figure = float | int | bool | str | None
# Of a run's summary: what says how it was made, or what another figure says.
_APART = ("schema", "name", "kind", "environment", "warnings", "expect", "facts", "solver.chosen")
_OF_LAWS = ("kept", "relative_drift", "projected", "decay")
_TRUTHS = (".kept", ".projected", ".certified", ".held", ".claimed")
_TELLING = ("loss.", "status", "residual.", "exponent.", "laws.", "alignment.", "limit.", "test.",
            "solver.steps", "solver.field_evaluations")  # fmt: skip


def figures_of(subjects: Sequence[Subject]) -> dict[str, dict[str, Figure]]:
    """case -> figure by its dotted name -> number or word. Of lists every entry counts, `.1` being
    the first; of a sweep's seeds the median."""
    found: dict[str, dict[str, Figure]] = {}
    for subject in subjects:
        if subject.members is None:
            found[subject.cases[0]] = _of_run(subject.summary)
        else:
            for case, at in zip(subject.cases, subject.members.combinations(), strict=True):
                found[case] = _of_members(subject.members, at)
    return found


def comparison_rows(figures: Mapping[str, Mapping[str, Figure]]) -> list[dict[str, str]]:
    """A row per figure that tells results apart or judges them; of two results the difference
    (second minus first), of more the spread (largest minus least)."""
    names = dict.fromkeys(name for one in figures.values() for name in one)
    last = "difference" if len(figures) == 2 else "spread"
    rows = []
    for name in sorted(filter(_place, names), key=_place):
        values = [one.get(name) for one in figures.values()]
        told = {case: _text(value) for case, value in zip(figures, values, strict=True)}
        rows.append({"figure": name, **told, last: _text(difference(values))})
    return rows


def _place(name: str) -> int:
    """From 1 on, by what tells most; 0 of a figure that is left out."""
    return next((i for i, part in enumerate(_TELLING, 1) if name.startswith(part)), 0)


def difference(values: Sequence[Figure]) -> float | int | None:
    """Of two numbers second minus first, of more largest minus least; None if a number lacks."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < max(len(values), 2) or not all(map(math.isfinite, numbers)):
        return None
    return numbers[1] - numbers[0] if len(numbers) == 2 else max(numbers) - min(numbers)


def _of_run(summary: Mapping[str, Any]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for name, value in flat_figures(summary).items():
        if not _left_out(name):
            found |= _spread_out(name, value)
    return found


def _of_members(members: Members, at: tuple[int, ...]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for name in members.figure_names():
        if _left_out(name):
            continue
        values = members.figure(name)
        if values is not None:
            median = spread_of(values[at], 0).median.tolist()
            found |= _spread_out(name, _judged(median) if name.endswith(_TRUTHS) else median)
        elif (words := members.words(name)) is not None and words.ndim == members.statuses.ndim:
            found[name] = ", ".join(sorted(set(words[at].tolist())))
    return found


def _judged(share: Any) -> Figure:
    """Truth of the members, where they agree."""
    return {1.0: True, 0.0: False}.get(share, share)


def _left_out(name: str) -> bool:
    if name.startswith("laws."):
        return name.rsplit(".", 1)[-1] not in _OF_LAWS
    return name in _APART or name.startswith(tuple(f"{part}." for part in _APART))


def _spread_out(name: str, value: Any) -> dict[str, Figure]:
    if isinstance(value, list):
        return {f"{name}.{i}": entry for i, entry in enumerate(value, 1)}
    return {name: value}


def _text(value: Figure) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else number(value)
