"""Is the law kept, to what, and how do we know: words and rows from summaries."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...analysis.law_keeping import KEPT
from ...compare.subject import Subject
from ...measures.tables import law_place, number, place_words, size, tolerance_words, worst
from ...sweeps.distribution import Members, spread_of
from ..content import BAD, GOOD, PLAIN, Cell, Content, Fold, Sheet
from ..material import Material
from .names import LAW

SAID = 6  # cases of a sweep that a sentence names
_HEAD = (
    "law", "layer", "verdict", "relative drift", "rate at start", "drift", "scale", "worst at t",
    "tolerance", "certificate: relative drift",
)  # fmt: skip
_SWEPT_HEAD = (
    "case", "law", "verdict", "relative drift, median", "largest", "rate at start, largest",
    "scale, largest", "tolerance",
)  # fmt: skip


def law_block(material: Material) -> Content:
    """The drifts; folded, how a law is found to be kept, and every figure of it."""
    several, told = len(material.subjects) > 1, []
    for subject in material.subjects:
        lead = f"{subject.name}: " if several else ""
        told += [lead + sentence for sentence in [*law_sentences(subject), *_certified(subject)]]
    how = method(material.subjects)
    drift, *others = [*material.of(LAW), None]
    return Content(
        [] if drift else ['No law was recorded: add "laws" to observe.names and run it again.'],
        [drift] if drift else [],
        folds=[
            Fold("How we know", [*told, *([how] if how else [])]),
            Fold("Every law in numbers",
                 tables=[t for s in material.subjects if (t := law_table(s)).rows]),
            Fold("All members", figures=[figure for figure in others if figure]),
        ],
    )  # fmt: skip


def law_sentences(subject: Subject) -> list[str]:
    """What a run or a sweep says of each of its laws."""
    if subject.members is None:
        return [_sentence(subject, *law) for law in subject.summary.get("laws", {}).items()]
    return [_swept_sentence(law, subject, subject.members) for law in subject.members.laws]


def law_table(subject: Subject) -> Sheet:
    """A row per law and layer of a run; per case and law of a sweep."""
    about = f"Laws of {subject.name}"
    if subject.members is not None:
        found = list(_swept_rows(subject, subject.members))
        return Sheet(about, _SWEPT_HEAD, [row for _, row in found], [keys for keys, _ in found])
    found = list(_rows(subject))
    return Sheet(about, _HEAD, [row for _, row in found], [keys for keys, _ in found])


def _sentence(subject: Subject, law: str, told: Mapping[str, Any]) -> str:
    rate = number(worst(told["rate_at_start"]))
    if told.get("projected"):
        return (
            f"{law}: {_word(told)}; the flow was projected onto it, so that its drift is no check. "
            f"Its relative rate along the field at the start is {rate}."
        )
    layer = int(np.argmax([size(value) for value in told["relative_drift"]]))
    said = "" if told["claimed"] == told["kept"] else f" (the rule {_claim(told)})"
    return (
        f"{law}: {_word(told)}{said}. Its relative rate along the field, which needs no "
        f"integrator, is at most {rate} at the start; over the flow it drifted by at most "
        f"{number(told['relative_drift'][layer])} of its scale {number(told['scale'][layer])}, "
        f"in {place_words(told, layer)} at t = {number(told['worst_time'][layer])}, "
        f"under {tolerance_words(subject.summary['solver'])}."
    )


def _word(told: Mapping[str, Any]) -> str:
    return "kept" if told["kept"] else "NOT kept"


def _claim(told: Mapping[str, Any]) -> str:
    return "claims it" if told["claimed"] else "does not claim it"


def _certified(subject: Subject) -> list[str]:
    if subject.members is not None:
        return ["Members of a sweep have no certificate; run one of them with --certify."]
    found = subject.summary.get("certificate")
    if found is None:
        return [
            "No certificate: faflow run CONFIG --certify compares with a tenth of the tolerance."
        ]
    how = "to a tenth of the tolerance" if found["by"] == "tolerance" else "by another method"
    run = f"{how} ({found['solver']}, {tolerance_words(found)}; {found['status']})"
    digits = found["weights"]["digits"]
    return [f"Certificate: a second run, {run}, ends at the same weights in {digits} digits."]


def _rows(subject: Subject) -> Iterator[tuple[dict[str, str], list[Cell]]]:
    case, tolerance = subject.cases[0], tolerance_words(subject.summary["solver"])
    for law, told in subject.summary.get("laws", {}).items():
        for i in range(len(told["layers"])):
            where, kept = law_place(told, i), bool(told["kept"])
            keys = ("relative_drift", "rate_at_start", "drift", "scale", "worst_time")
            values = [None if told[key] is None else told[key][i] for key in keys]
            yield {"case": case, "law": law, "layer": where}, [
                Cell(law), Cell(where), Cell(_word(told), GOOD if kept else BAD),
                *(Cell(number(value), what=key, value=value)
                  for key, value in zip(keys, values, strict=True)),
                Cell(tolerance), Cell(_ratio(subject.summary, law, i)),
            ]  # fmt: skip


def _ratio(summary: Mapping[str, Any], law: str, i: int) -> str:
    """The drift in the certificate's run."""
    figures = summary.get("certificate", {}).get("figures", {})
    found = figures.get(f"laws.{law}.relative_drift")
    if found is None:
        return "none"
    second = found["second"]
    value = second[i] if isinstance(second, Sequence) and i < len(second) else second
    return f"{number(value)} in the second run"


def _swept_rows(subject: Subject, members: Members) -> Iterator[tuple[dict[str, str], list[Cell]]]:
    tolerances = members.figure("solver.rtol")
    for law in members.laws:
        drift, kept = members.drift(law), members.figure(f"laws.{law}.kept")
        rate, scale = (members.figure(f"laws.{law}.{key}") for key in ("rate_at_start", "scale"))
        for case, at in zip(subject.cases, members.combinations(), strict=True):
            keeping, count = keeping_of(kept, at)
            if count == 0:
                continue  # not recorded in this case
            over = None if drift is None else spread_of(drift[at], 0)
            mark = PLAIN if 0 < keeping < count else GOOD if keeping == count else BAD
            yield {"case": case, "law": law, "layer": "all"}, [
                Cell(case), Cell(law), Cell(f"kept by {keeping} of {count}", mark),
                _cell("median", None if over is None else over.median),
                _cell("largest", None if over is None else over.largest),
                _extreme("rate", rate, at), _extreme("scale", scale, at),
                Cell(_range(tolerances, at)),
            ]  # fmt: skip


def keeping_of(kept: np.ndarray | None, at: Any) -> tuple[int, int]:
    """How many members keep a law, and how many recorded it."""
    if kept is None:
        return 0, 0
    return int(np.sum(kept[at] == 1)), int(np.sum(np.isfinite(kept[at])))


def _swept_sentence(law: str, subject: Subject, members: Members) -> str:
    mine = [cells for keys, cells in _swept_rows(subject, members) if keys["law"] == law]
    told = "; ".join(
        f"{case.text}: {verdict.text} members that recorded it, relative drift {drift.text} in "
        f"the median and {largest.text} at most"
        for case, _, verdict, drift, largest, *_ in mine[:SAID]
    )
    more = f"; {len(mine) - SAID} more cases in the table" if len(mine) > SAID else ""
    return f"{law}. {told}{more}."


def _cell(what: str, value: Any) -> Cell:
    if value is None or not np.isfinite(value):
        return Cell("-")
    return Cell(number(float(value)), what=what, value=float(value))


def _extreme(what: str, values: np.ndarray | None, at: Any) -> Cell:
    if values is None or not np.any(np.isfinite(values[at])):
        return Cell("-")
    return _cell(what, np.nanmax(values[at]))


def _range(values: np.ndarray | None, at: Any) -> str:
    if values is None or not np.any(np.isfinite(values[at])):
        return "-"
    low, high = float(np.nanmin(values[at])), float(np.nanmax(values[at]))
    return f"rtol {number(low)}" + ("" if low == high else f" to {number(high)}")


def method(subjects: Sequence[Subject]) -> str:
    """How a law is found to be kept; one sentence for the page."""
    bounds = ", ".join(f"{number(bound)} in {name}" for name, bound in KEPT.items())
    there = any(subject.summary.get("laws") or subject.members for subject in subjects)
    if not there:
        return ""
    return (
        f"Kept means: at the start and at a random state near it, the law's relative rate along "
        f"the field is below {bounds}. The rate is a derivative, free of integration error; the "
        f"drift is the integrator's error if the law is kept, and the breach itself if not."
    )
