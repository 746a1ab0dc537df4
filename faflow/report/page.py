"""The page: everything put into the template."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import jinja2
import plotly
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ..compare.curves import CASES as OVER_TIME
from ..compare.labels import renamed
from ..compare.subject import Claims, Subject
from ..config.errors import ConfigError
from ..measures.summary import own_version
from .content import Content, Fold
from .download import bundle
from .figures import PALETTE, PageFigure
from .head.beside import beside_block
from .head.drawing import drawing_of
from .head.facts import facts_of
from .head.notes import bounds_fold, notes_of, some, warnings_of
from .head.tiles import tiles_of
from .material import material_of
from .sections import Section, in_order

MARK = '<meta name="generator" content="faflow report">'
TIMES = 1000  # places of the slider
CASES = 6  # ticked at first
LISTED = 18  # cases up to which those that are not ticked are named
DRAWINGS = 4  # networks that are drawn
PARTS = ("page.css", "page.js")


def page(
    subjects: Sequence[Subject],
    claims: Sequence[Claims] = (),
    refused: Sequence[ConfigError] = (),
) -> str:
    """The HTML of a report. What comes from results is escaped by the template."""
    subjects = renamed(subjects) if len(subjects) > 1 else list(subjects)
    material, several = material_of(subjects), len(subjects) > 1
    order = in_order(material) if subjects else []
    made = [(section, section.build(material).shown) for section in order]
    sections = [(section, block) for section, block in made if block]
    beside = beside_block(subjects) if several else None
    figures = list(_figures(sections))
    data = bundle(subjects)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("faflow.report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css, script = (Markup(_part(environment, name)) for name in PARTS)
    return environment.get_template("page.html.j2").render(
        mark=Markup(MARK), css=css, script=script, plotly_js=Markup(get_plotlyjs()),
        title=_title(subjects, claims), subtitle=_subtitle(subjects), claims=claims,
        notes=notes_of(subjects, refused),
        warnings=Fold("What the flows have to say", warnings_of(subjects)),
        bounds=bounds_fold(subjects), beside=beside,
        tiles=tiles_of(subjects[0]) if len(subjects) == 1 else [], facts=facts_of(subjects),
        drawings=_drawings(subjects), sections=sections, choices=material.choices,
        colours=_colours(material.choices.case, subjects),
        shown_cases=material.choices.case[:CASES], undrawn=list(_undrawn(subjects)),
        times=len(_slider(figures)),
        payload=_payload(figures, data.encoded), data=data, left_out=some(data.left_out),
        versions={"faflow": own_version(), "plotly": plotly.__version__},
    )  # fmt: skip


def _figures(sections: Sequence[tuple[Section, Content]]) -> list[PageFigure]:
    """In the order in which the template shows them, by which the script knows them."""
    found: list[PageFigure] = []
    for _, block in sections:
        found += block.figures
        for fold in block.folds:
            found += fold.figures
    return found


def _title(subjects: Sequence[Subject], claims: Sequence[Claims]) -> str:
    """What the page is about: papers by their titles, results by their names."""
    if claims:
        names = [claim.title for claim in claims]
    elif len(subjects) > 1:
        own = dict.fromkeys(subject.result.name for subject in subjects)
        names = list(own)
    else:
        names = [subject.name for subject in subjects]
    return some(names)


def _subtitle(subjects: Sequence[Subject]) -> str:
    if not subjects:
        return "a reproduction that stored no flow"
    if len(subjects) > 1:
        return f"{len(subjects)} results side by side"
    return f"{'sweep' if subjects[0].members is not None else 'run'} · {subjects[0].path}"


def _drawings(subjects: Sequence[Subject]) -> list[tuple[str, Markup]]:
    """Every network that is another one, under the name of the first result that has it."""
    drawn: dict[Markup, str] = {}
    for subject in subjects:
        if drawing := drawing_of(subject):
            drawn.setdefault(drawing, subject.name)
    several = len(drawn) > 1
    return [(name if several else "", drawing) for drawing, name in list(drawn.items())[:DRAWINGS]]


def _colours(cases: Sequence[str], subjects: Sequence[Subject]) -> dict[str, str]:
    """By case, and by results that are one case; none if there is nothing to tell apart."""
    if len(cases) < 2:
        return {}
    found = {case: PALETTE[i % len(PALETTE)] for i, case in enumerate(cases)}
    single = {one.name: found[one.cases[0]] for one in subjects if len(one.cases) == 1}
    return found | single


def _undrawn(subjects: Sequence[Subject]) -> Iterator[str]:
    """What is not drawn at first and how it is shown; which cases have no curves at all."""
    cases = [case for subject in subjects for case in subject.cases]
    if len(cases) > CASES:
        names, count = "; ".join(cases[CASES:LISTED]), len(cases) - LISTED
        more = f"; and {count} more" if count > 0 else ""
        yield (
            f"Drawn at first are {CASES} of {len(cases)} cases; tick the others under Choose "
            f"curves: {names}{more}. The values below the figures are of all."
        )
    for subject in subjects:
        if len(subject.cases) > OVER_TIME:
            yield (
                f"{subject.name}: over time the first {OVER_TIME} of {len(subject.cases)} "
                "combinations are on the page; tables and figures over members have all."
            )


def _part(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _payload(figures: Sequence[PageFigure], encoded: str) -> dict[str, Any]:
    """What the script reads: the slider's times, the figures, the zip file. Curves over the same
    times share them: `x` is a place in `axes`."""
    axes: dict[tuple, int] = {}
    told = []
    for figure in figures:
        traces = [
            {**trace, "x": axes.setdefault(tuple(trace["x"]), len(axes))} for trace in figure.traces
        ]
        told.append({"traces": traces, "layout": figure.layout})
    return {"times": _slider(figures), "axes": list(axes), "figures": told, "zip": encoded}


def _slider(figures: Sequence[PageFigure]) -> list[float]:
    """All times that have a record; of more than TIMES an even choice, the last one included."""
    found = {
        time
        for figure in figures if figure.timed
        for trace in figure.traces if trace.get("meta", {}).get("read")
        for time in trace["x"] if time is not None
    }  # fmt: skip
    times = sorted(found)
    every = math.ceil(len(times) / TIMES) if times else 1
    return [*times[:-1:every], *times[-1:]]
