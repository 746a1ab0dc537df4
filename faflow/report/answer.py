"""Is the law kept, to what, and how do we know: rows and sentences from summaries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..analysis.law_keeping import KEPT
from ..compare.subject import Subject
from ..measures.tables import law_place, number, place_words, size, tolerance_words, worst
from ..sweeps.distribution import Members, spread_of

Cell = tuple[str, float | None]  # as it is read, and the number itself


@dataclass(frozen=True)
class LawRow:
    """One law of one layer (of a run) or of one case (of a sweep), and what was measured of it."""

    case: str
    law: str
    layer: str
    kept: bool | None
    verdict: str
    drift: Cell
    scale: Cell
    relative: Cell
    when: Cell
    rate: Cell
    tolerance: str
    certificate: str


@dataclass(frozen=True)
class Verdict:
    """A bound of [expect]: `ok` or broken, and what was found."""

    bound: str
    ok: bool
    found: str


@dataclass(frozen=True)
class LawAnswer:
    """What stands at the top of the page for one result."""

    name: str
    path: str
    status: str
    sentences: list[str]
    rows: list[LawRow]
    warnings: list[str]
    swept: bool
    verdicts: list[Verdict]


def answer_of(subject: Subject) -> LawAnswer:
    """The answer that a run or a sweep gives."""
    if subject.members is not None:
        rows = list(_swept_rows(subject, subject.members))
        sentences = [_swept_sentence(law, rows) for law in dict.fromkeys(r.law for r in rows)]
        counts = subject.summary["statuses"]
        status = ", ".join(f"{count} {word}" for word, count in counts.items())
    else:
        rows = list(_rows(subject))
        sentences = [_sentence(subject, *law) for law in subject.summary.get("laws", {}).items()]
        status = f"{subject.summary['status']} at t = {number(subject.summary['t_final'])}"
    if not sentences:
        sentences = ['No law was recorded: add "laws" to observe.names and run it again.']
    warnings = [str(warning) for warning in subject.summary.get("warnings", ())]
    return LawAnswer(
        subject.name, subject.path, status, [*sentences, *_certified(subject)], rows, warnings,
        subject.members is not None, list(_verdicts(subject)),
    )  # fmt: skip


def _verdicts(subject: Subject) -> Iterator[Verdict]:
    for path, verdict in subject.summary.get("expect", {}).items():
        bound = verdict["bound"]
        words = number(bound) if isinstance(bound, Mapping) else f"is {number(bound)}"
        if "value" in verdict:
            found = f"found {number(verdict['value'])}"
        else:
            found = f"broken by {verdict['broken']} of {subject.summary['members']} members"
        yield Verdict(f"{path}: {words}", bool(verdict["ok"]), found)


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


def _rows(subject: Subject) -> Iterator[LawRow]:
    for law, told in subject.summary.get("laws", {}).items():
        for i in range(len(told["layers"])):
            measured = [
                (number(value), value)
                for value in (
                    None if told[key] is None else told[key][i]
                    for key in ("drift", "scale", "relative_drift", "worst_time")
                )
            ]
            rate = told["rate_at_start"][i]
            where, kept = law_place(told, i), bool(told["kept"])
            yield LawRow(
                subject.cases[0], law, where, kept, _word(told), *measured,
                (number(rate), rate), tolerance_words(subject.summary["solver"]),
                _ratio(subject.summary, law, i),
            )  # fmt: skip


def _ratio(summary: Mapping[str, Any], law: str, i: int) -> str:
    """How many times smaller the drift was in the certificate's run."""
    figures = summary.get("certificate", {}).get("figures", {})
    found = figures.get(f"laws.{law}.relative_drift")
    if found is None:
        return "none"
    second = found["second"]
    value = second[i] if isinstance(second, Sequence) and i < len(second) else second
    return f"{number(value)} in the second run"


def _swept_rows(subject: Subject, members: Members) -> Iterator[LawRow]:
    tolerances = members.figure("solver.rtol")
    for law in members.laws:
        drift, kept = members.drift(law), members.figure(f"laws.{law}.kept")
        rate, scale = (members.figure(f"laws.{law}.{key}") for key in ("rate_at_start", "scale"))
        for case, at in zip(subject.cases, members.combinations(), strict=True):
            keeping = 0 if kept is None else int(np.sum(kept[at] == 1))
            count = 0 if kept is None else int(np.sum(np.isfinite(kept[at])))
            if count == 0:
                continue  # not recorded in this case
            over = None if drift is None else spread_of(drift[at], 0)
            yield LawRow(
                case, law, "all", None if 0 < keeping < count else keeping == count,
                f"kept by {keeping} of {count}",
                _cell(None if over is None else over.median), _extreme(scale, at),
                _cell(None if over is None else over.largest), ("-", None), _extreme(rate, at),
                _range(tolerances, at), "none",
            )  # fmt: skip


def _swept_sentence(law: str, rows: list[LawRow]) -> str:
    mine = [row for row in rows if row.law == law]
    told = "; ".join(
        f"{row.case}: {row.verdict} members that recorded it, relative drift {row.drift[0]} in "
        f"the median and {row.relative[0]} at most"
        for row in mine[:6]
    )
    more = f"; {len(mine) - 6} more cases in the table" if len(mine) > 6 else ""
    return f"{law}. {told}{more}."


def _cell(value: Any) -> Cell:
    if value is None or not np.isfinite(value):
        return "-", None
    return number(float(value)), float(value)


def _extreme(values: np.ndarray | None, at) -> Cell:
    if values is None or not np.any(np.isfinite(values[at])):
        return "-", None
    return _cell(np.nanmax(values[at]))


def _range(values: np.ndarray | None, at) -> str:
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
