"""The page: everything put into the template, and onto the disk."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import plotly
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ..compare.curves import panels_of
from ..compare.subject import Claims, Subject, claims_of, open_subjects, readable
from ..config.errors import ConfigError
from ..measures.summary import own_version, summary_rows
from ..measures.tables import certificate_rows, certificate_title
from ..store.files import replace_text, try_replacing
from ..sweeps.tables import sweep_rows
from .answer import answer_of, method
from .cost import cost_rows
from .derivatives import derivative_rows
from .download import bundle
from .figures import PageFigure, choices_of, panel_figure
from .kernels import kernel_figures
from .members import member_figures
from .raster import raster_figures, raster_layers

MARK = '<meta name="generator" content="faflow report">'
HEAD = 4096  # bytes in which a report says that it is one
TIMES = 1000  # places of the slider
CASES = 6  # ticked at first
NAMED = 6  # results in the title
PARTS = ("page.css", "page.js")


def write_report(folders: Sequence[str], out: str | Path) -> Path:
    """The report of the results in `folders`, written to `out`. ConfigError if a folder holds no
    result, or if `out` can't be written or holds something else than a report."""
    target = _target(out)
    try:
        try_replacing(target)
        replace_text(target, page(open_subjects(folders), claims_of(folders)))
    except OSError as error:
        what = f"is {readable(str(out))}, which can't be written ({error.strerror or error}); "
        raise ConfigError("--out", what + "choose another file") from error
    return target


def page(subjects: Sequence[Subject], claims: Sequence[Claims] = ()) -> str:
    """The HTML of a report. What comes from results is escaped by the template."""
    subjects = list(subjects)
    panels = panels_of(subjects)
    cases = [case for subject in subjects for case in subject.cases]
    choices = choices_of(cases, panels, [n for subject in subjects for n in raster_layers(subject)])
    figures = [panel_figure(panel, choices) for panel in panels]
    for subject in subjects:
        figures += raster_figures(subject, len(subjects) > 1)
    for subject in subjects:
        figures += kernel_figures(subject, len(subjects) > 1)
    figures += member_figures(subjects, choices)
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
        title=_title(subjects, claims), claims=claims,
        answers=[answer_of(subject) for subject in subjects], method=method(subjects),
        choices=choices, shown_cases=cases[:CASES],
        figures=figures, times=len(_slider(figures)), payload=_payload(figures, data.encoded),
        derivatives=_table([row for subject in subjects for row in derivative_rows(subject)]),
        costs=_table([row for subject in subjects for row in cost_rows(subject)]),
        details=[_details(subject) for subject in subjects], data=data,
        versions={"faflow": own_version(), "plotly": plotly.__version__},
    )  # fmt: skip


def _title(subjects: Sequence[Subject], claims: Sequence[Claims]) -> str:
    """What the page is about: papers by their titles, results by their names, if these are few."""
    names = [claim.title for claim in claims] or [subject.name for subject in subjects]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


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


def _details(subject: Subject) -> dict[str, Any]:
    """What is folded away below the figures, per result."""
    certificate = subject.summary.get("certificate")
    rows = (
        sweep_rows(subject.result) if subject.members is not None else summary_rows(subject.summary)
    )
    return {
        "name": subject.name,
        "path": subject.path,
        "rows": [(what, "; ".join(filter(None, rest))) for what, *rest in map(dict.values, rows)],
        "certificate": [] if certificate is None else certificate_rows(certificate),
        "certificate_title": "" if certificate is None else certificate_title(certificate),
        "config": subject.config,
        "provenance": subject.provenance,
    }


def _table(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Head and rows, without columns that say nothing."""
    keys = dict.fromkeys(key for row in rows for key in row)
    told = [key for key in keys if any(row.get(key, "-") != "-" for row in rows)]
    return {"head": told, "rows": [[row.get(key, "-") for key in told] for row in rows]}


def _target(out: str | Path) -> Path:
    """Where the report goes. ConfigError if a file lies there that is no report."""
    if "\0" in str(out):
        raise ConfigError("--out", f"is {str(out)!r}; take out the NUL character")
    target = Path(os.path.expanduser(out))
    said = f"is {readable(str(out))}, which"
    if target.is_dir():
        raise ConfigError("--out", f"{said} is a folder; give a file, such as report.html")
    if not Path(os.path.abspath(target)).parent.is_dir():
        raise ConfigError("--out", f"{said} lies in no folder; make the folder first")
    if target.exists():
        try:
            with target.open("rb") as file:
                old = MARK.encode() in file.read(HEAD)
        except OSError as error:
            raise ConfigError("--out", f"{said} can't be read ({error.strerror})") from error
        if not old:
            raise ConfigError("--out", f"{said} exists and is no report; choose another file")
    return target
