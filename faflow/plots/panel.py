"""What one pair of axes shows, as data: the same object is drawn and written as a table."""

import re
from dataclasses import dataclass, field

import numpy as np

from .style import BLACK, GREY, SOLID, Dashes


@dataclass(frozen=True)
class Curve:
    """`values` (saves,) of one quantity; `column` and `meaning` name it in the table.

    `label`: its legend entry, if any. `floor`: smaller values are drawn there (log axes).
    `skip`: leading saves that are not drawn.
    """

    column: str
    meaning: str
    values: np.ndarray
    label: str | None = None
    colour: str = BLACK
    style: Dashes = SOLID
    marker: str | None = None
    hollow: bool = False
    width: float = 1.3
    floor: float | None = None
    skip: int = 0
    stairs: bool = False


@dataclass(frozen=True)
class Guide:
    """A line to compare with: a fit or a prediction, on times of its own."""

    times: np.ndarray
    values: np.ndarray
    label: str
    colour: str
    style: Dashes


@dataclass(frozen=True)
class Level:
    """A horizontal line; `text` is written on it."""

    value: float
    text: str | None = None
    colour: str = GREY
    style: Dashes = SOLID


@dataclass(frozen=True)
class Marks:
    """Points (times, heights) with one marker."""

    times: np.ndarray
    heights: np.ndarray
    label: str | None
    colour: str
    marker: str
    size: float


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from `starts` to `ends` at `heights`, `thickness` in points.

    `behind`: below the lines between groups of rows.
    """

    starts: np.ndarray
    ends: np.ndarray
    heights: np.ndarray
    label: str | None
    colour: str
    thickness: float
    behind: bool = False


@dataclass(frozen=True)
class Band:
    """The area between `lower` and `upper` (saves,), behind the curves; `column` and `meaning` name
    its edges in the table. `label`: its legend entry, if any; `skip` and `floor` as
    those of curves. `drawn`: else it is in the table alone."""

    column: str
    meaning: str
    lower: np.ndarray
    upper: np.ndarray
    label: str | None
    colour: str
    alpha: float = 0.3
    skip: int = 0
    floor: float | None = None
    drawn: bool = True


@dataclass(frozen=True)
class Cells:
    """A map: `values` (rows, columns) in the cells between two parameters; nan stays grey.

    `log`: colours go by the logarithm. `words`: what the values 0, 1, ... mean, if they are kinds.
    `along`: places of columns that are named, of all if there are none.
    """

    values: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    xlabel: str
    log: bool = False
    words: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    along: tuple[int, ...] = ()


@dataclass(frozen=True)
class Listing:
    """A table whose rows are not the saves: column name -> (meaning, values (rows,))."""

    columns: dict[str, tuple[str, np.ndarray]]


@dataclass(frozen=True)
class Panel:
    """Curves over time under a title that says the verdict.

    `scale`: of the vertical axis; "auto" is logarithmic for positive values over a wide range.
    `limits`: of the vertical axis. `window`: shaded interval of time, `window_label` its name.
    `whole`: the values are counts. `bars`, `marks`: drawn in this order, below the curves;
    `rules`: heights of thin lines between groups of them. `listing`: the panel's table, if it is
    not made of its curves; `cells`: a map instead of curves. `height`: of the axes, in inches;
    `wide`: it may fill two columns.
    """

    title: list[str]
    ylabel: str
    curves: list[Curve]
    scale: str = "auto"
    bands: list[Band] = field(default_factory=list)
    guides: list[Guide] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    window: tuple[float, float] | None = None
    window_label: str = "fit window"
    limits: tuple[float, float] | None = None
    ticks: tuple[float, ...] | None = None
    tick_labels: tuple[str, ...] | None = None
    whole: bool = False
    bars: list[Bars] = field(default_factory=list)
    marks: list[Marks] = field(default_factory=list)
    rules: tuple[float, ...] = ()
    listing: Listing | None = None
    cells: Cells | None = None
    height: float = 2.1
    wide: bool = False


def brief(value: float, digits: int = 3) -> str:
    """A number as a title or a legend says it: 2.500 (all digits asked for), 0, 1e-9."""
    text = f"{value:#.{digits}g}" if 1e-3 <= abs(value) < 10.0**digits else f"{value:.{digits}g}"
    return re.sub(r"e([+-])0", r"e\1", text.removesuffix("."))


def last(values: np.ndarray) -> float:
    """The last finite value; nan if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else float("nan")
