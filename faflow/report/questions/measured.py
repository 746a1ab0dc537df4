"""Sections that lead with one figure and fold the others, beside what the summary says in words."""

from collections.abc import Callable, Iterator

from ...compare.subject import Subject
from ...measures.registry import MEASURES
from ...sweeps.tables import sweep_rows
from ..content import Content, Fold, Sheet, plain_table
from ..material import Material
from ..unplaced import unplaced
from .names import ALIGN, CONVERGE, KERNELS, KINKS

# Sections of the summary that answer a question; of a sweep the figures that begin so.
_MEASURES = {
    CONVERGE: ("exponent", "minimum_norm", "factorisation", "exact_solution", "polished"),
    ALIGN: ("alignment",),
    KINKS: ("kinks",),
    KERNELS: ("kernel", "wide"),
}


def led_block(question: str, more: str) -> Callable[[Material], Content]:
    """The builder of a section: the question's first figure, all `more` of them folded; of several
    results the loss stands before it."""

    def build(material: Material) -> Content:
        figures = material.of(question)
        count = 2 if material.several and question == CONVERGE else 1
        leading, others = figures[:count], figures[count:]
        words = measured_table(material, question)
        return Content(
            figures=leading,
            folds=[
                Fold(more, figures=others),
                Fold("In numbers", tables=[words] if words.rows else []),
            ],
        )

    return build


def folded_block(question: str) -> Callable[[Material], Content]:
    """The builder of a section of which all figures are alike."""

    def build(material: Material) -> Content:
        figures = material.of(question)
        return Content(folds=[Fold("", figures=figures)] if figures else [])

    return build


def measured_table(material: Material, question: str) -> Sheet:
    """What the summaries say in words, result by result."""
    rows = [
        {"result": subject.name if material.several else "", "what": what, "measured": said}
        for subject in material.subjects
        for what, said in _words(subject, _MEASURES.get(question, ()))
    ]
    return plain_table("In numbers", rows)


def _words(subject: Subject, measures: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if subject.members is not None:
        for row in sweep_rows(subject.result):
            what, *told = row.values()
            if what.startswith(measures):
                yield what, unplaced("; ".join(filter(None, told)))
        return
    for name in measures:
        if section := subject.summary.get(name):
            for what, said in MEASURES[name].rows(section, subject.summary):
                yield what, unplaced(said)
