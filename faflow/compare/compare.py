"""Stored results side by side, as data and as files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..config.errors import ConfigError, disk_refusals
from ..drawn import remove_drawn
from ..plots.draw import dressed, write_figure
from ..plots.style import HOUSE, FigureStyle, house_style
from ..store.files import replace_text, try_replacing
from .draw import comparison_figures
from .labels import differences, renamed
from .subject import Subject, open_subjects, readable
from .table import Figure, comparison_rows, difference, figures_of

TABLE = "figures.csv"
FEWEST = 2


class Comparison(NamedTuple):
    """`names`: of the results, made of what differs; `differences`: by key of the config what each
    of them has; `figures`: by case (a run, or a combination of a sweep) and name."""

    subjects: list[Subject]
    differences: dict[str, list[str]]
    figures: dict[str, dict[str, Figure]]

    @property
    def names(self) -> list[str]:
        return [subject.name for subject in self.subjects]

    def rows(self) -> list[dict[str, str]]:
        """As `faflow compare` prints them."""
        return comparison_rows(self.figures)

    def as_json(self) -> dict[str, Any]:
        folders = [subject.path for subject in self.subjects]
        return {"results": dict(zip(self.names, folders, strict=True)),
                "differences": {key: dict(zip(self.names, values, strict=True))
                                for key, values in self.differences.items()},
                "figures": self.figures}  # fmt: skip


def compare(folders: Sequence[str]) -> Comparison:
    """The results in `folders`, runs and sweeps alike. ConfigError if there are fewer than two, or
    if one holds no result, a damaged one, or is given twice."""
    subjects = open_subjects(folders)
    if len(subjects) < FEWEST and all(subject.members is None for subject in subjects):
        what = "is one result; give at least two, or a sweep"
        raise ConfigError(readable(str(folders[0])), what)
    subjects = renamed(subjects)
    return Comparison(subjects, differences(subjects), figures_of(subjects))


def write_comparison(
    comparison: Comparison, out: str | Path, look: FigureStyle = HOUSE, only: Sequence[str] = ()
) -> list[Path]:
    """A figure per measure in `out`/figures, and the table of all figures; of the measures `only`
    these, if any are named; `look` as `plots.draw` has it. ConfigError if it can't be written, if
    `out` holds a result, or if no result has a measure."""
    made = list(comparison_figures(comparison.subjects))
    measures = [name for name, _, _ in made]
    if unknown := [name for name in only if name not in measures]:
        what = f"must be of {', '.join(measures)}, but is {unknown[0]}; name one of those"
        raise ConfigError("--only", what)
    folder = Path(out).expanduser()
    if (folder / "summary.json").exists():
        raise ConfigError("--out", f"is {folder}, which holds a result; choose another folder")
    with disk_refusals("--out", f"is {folder}, which can't be written", "choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        try_replacing(folder / TABLE)
        remove_drawn(folder / "figures")
        written = []
        with house_style(look.scale):
            for name, panel, frame in made:
                if not only or name in only:
                    frame = dressed(frame, look)
                    written += write_figure(folder, name, [panel], frame, 1, (), look)
        replace_text(folder / TABLE, _csv(comparison.figures))
    return [*written, folder / TABLE]


def _csv(figures: dict[str, dict[str, Figure]]) -> str:
    """Every figure of every case, and their difference or spread."""
    names = dict.fromkeys(name for one in figures.values() for name in one)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["figure", *figures, "difference" if len(figures) == FEWEST else "spread"])
    for name in names:
        values = [one.get(name) for one in figures.values()]
        writer.writerow([name, *map(_cell, [*values, difference(values)])])
    return out.getvalue()


def _cell(value: Figure) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(value)
