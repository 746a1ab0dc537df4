"""What stands on the page, before it is HTML: cells, tables, folds, and the block of a section."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .figures import PageFigure

GOOD, BAD, PLAIN = "kept", "broken", ""  # marks, and the style sheet's classes
DASH = "-"


@dataclass(frozen=True)
class Cell:
    """A text of a table, a smaller `note` below it; `what` and `value` say which number of the
    summary it is."""

    text: str
    mark: str = PLAIN
    what: str = ""
    value: float | int | None = None
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """Rows below a head; `about` is read to those who don't see it. `keys`: one mapping per row,
    what the row is about."""

    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    keys: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class Fold:
    """What is shown when asked for."""

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Sheet] = ()
    figures: Sequence[PageFigure] = ()
    text: str = ""
    marked: Sequence[Cell] = ()

    @property
    def empty(self) -> bool:
        return not (self.sentences or self.tables or self.figures or self.text or self.marked)


@dataclass(frozen=True)
class Content:
    """A section's content: the answer in words, figures in full width, the rest in folds."""

    sentences: Sequence[str] = ()
    figures: Sequence[PageFigure] = ()
    tables: Sequence[Sheet] = ()
    folds: Sequence[Fold] = field(default_factory=tuple)

    @property
    def shown(self) -> "Content | None":
        """Itself without empty folds; None if nothing is left."""
        folds = [fold for fold in self.folds if not fold.empty]
        if not (self.sentences or self.figures or self.tables or folds):
            return None
        return Content(self.sentences, self.figures, self.tables, folds)


def plain_table(about: str, rows: Sequence[Mapping[str, Any]]) -> Sheet:
    """A table of texts without columns that say nothing."""
    keys = dict.fromkeys(key for row in rows for key in row)
    told = [key for key in keys if any(row.get(key, DASH) not in (DASH, "") for row in rows)]
    cells = [[Cell(str(row.get(key, DASH))) for key in told] for row in rows]
    return Sheet(about, told, cells)
