"""Everything that the sections of a page draw on: the results, and every figure by the question
that it answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..compare.curves import panels_of
from ..compare.subject import Subject
from .claimed import claimed_laws
from .figures import Choices, PageFigure, choices_of, panel_figure
from .questions.guides import with_guides
from .questions.kernels import kernel_figures
from .questions.members import member_figures, rate_figures
from .questions.names import question_of
from .questions.raster import raster_figures, raster_layers
from .questions.spectra import spectrum_panels


@dataclass(frozen=True)
class Material:
    """`figures`: all that there are, in the order of their questions."""

    subjects: Sequence[Subject]
    choices: Choices
    figures: Sequence[PageFigure]

    @property
    def several(self) -> bool:
        return len(self.subjects) > 1

    @property
    def laws(self) -> tuple[str, ...]:
        return self.choices.law

    @property
    def claimed(self) -> set[str]:
        """The laws that the rule of a result claims."""
        return claimed_laws(self.subjects)

    def of(self, question: str) -> list[PageFigure]:
        """The figures that belong to a question, the one that answers it best first."""
        return [figure for figure in self.figures if question_of(figure.key)[0] == question]


def material_of(subjects: Sequence[Subject]) -> Material:
    subjects = list(subjects)
    panels = [*panels_of(subjects), *spectrum_panels(subjects)]
    cases = [case for subject in subjects for case in subject.cases]
    claimed = claimed_laws(subjects)
    for panel in panels:
        panel.curves.sort(key=lambda curve: curve.law not in claimed)  # by which laws are ordered
    choices = choices_of(cases, panels, [n for subject in subjects for n in raster_layers(subject)])
    figures = [with_guides(panel_figure(panel, choices), subjects, choices) for panel in panels]
    several = len(subjects) > 1
    for make in (raster_figures, kernel_figures):
        for subject in subjects:
            figures += make(subject, several)
    figures += rate_figures(subjects)
    figures += member_figures(subjects, choices)
    figures.sort(key=lambda figure: _place(figure, several))  # keeps the order of the others
    return Material(subjects, choices, figures)


def _place(figure: PageFigure, several: bool) -> int:
    """Within its question; of several results the losses are compared first."""
    return -1 if several and figure.key == "loss" else question_of(figure.key)[1]
