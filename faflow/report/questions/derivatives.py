"""Derivatives of a run's figures, as rows of text: one per figure and what moves it."""

from collections.abc import Iterator

from ...compare.subject import Subject
from ...measures.sensitivity.measure import slope_words
from ...measures.tables import number
from ..content import Content, plain_table
from ..material import Material

_WHERE = (
    "Of an array the norm of the derivative; the array itself is in the group sensitivity of the "
    "result. A central difference of two whole flows, in one random direction, is apart by this "
    "share of the derivatives."
)


def derivatives_block(material: Material) -> Content:
    """What `[sensitivity]` asked for."""
    rows = [row for subject in material.subjects for row in derivative_rows(subject)]
    return Content([_WHERE], tables=[plain_table("Derivatives", rows)]) if rows else Content()


def derivative_rows(subject: Subject) -> Iterator[dict[str, str]]:
    """None for a run without [sensitivity], and for a sweep, whose figures have them."""
    if subject.members is not None:
        return
    for name, told in subject.summary.get("sensitivity", {}).items():
        by = "the limit, by the laws" if told.get("by") == "limit" else "the end of the flow"
        about = {"run": subject.name, "figure": name, "value": number(told.get("value"))}
        off = number(told.get("apart")) if "apart" in told else "not compared"
        for to in told.get("to", {}):
            size = slope_words(told, to)
            yield {**about, "by": to, "derivative": size, "of": by, "central difference": off}
        for to, why in told.get("none", {}).items():
            yield {**about, "by": to, "derivative": f"none: {why}", "of": by}
