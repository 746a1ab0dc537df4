"""Several results side by side: their verdicts in rows, what differs, all figures."""

from collections.abc import Sequence

from ...compare.labels import differences
from ...compare.subject import Subject
from ...compare.table import comparison_rows, figures_of
from ..claimed import claimed_laws
from ..content import Cell, Content, Fold, Sheet, plain_table
from .tiles import tiles_of

ORDER = (
    "loss", "laws", "exponent", "alignment", "limit", "kinks", "status", "members", "expect",
)  # fmt: skip
MOST = 12  # cases of the table of all figures


def beside_block(subjects: Sequence[Subject]) -> Content:
    """A row of verdicts per result; folded, what differs in the configs, and all figures."""
    told = differences(subjects)
    names = [subject.name for subject in subjects]
    differing = [{"config": key, **dict(zip(names, values, strict=True))}
                 for key, values in told.items()]  # fmt: skip
    figures = figures_of(subjects)
    shown = dict(list(figures.items())[:MOST])
    more = f" (the first {MOST} of {len(figures)})" if len(figures) > MOST else ""
    return Content(
        tables=[verdict_table(subjects)],
        folds=[
            Fold("What differs in the configs",
                 tables=[plain_table("Differences", differing)] if told else []),
            Fold(f"All figures side by side{more}",
                 tables=[plain_table("Figures", comparison_rows(shown))]),
        ],
    )  # fmt: skip


def verdict_table(subjects: Sequence[Subject]) -> Sheet:
    """Results in rows, what their tiles say in columns."""
    tiles = [{tile.key: tile for tile in tiles_of(subject)} for subject in subjects]
    labels = {tile.key: tile.label for row in reversed(tiles) for tile in row.values()}
    found = dict.fromkeys(key for row in tiles for key in row)
    order = sorted(found, key=ORDER.index)
    if "laws" in found and not claimed_laws(subjects):
        order = [*(key for key in order if key != "laws"), "laws"]
    rows = []
    for subject, row in zip(subjects, tiles, strict=True):
        cells = [Cell(subject.name, what="result")]
        for key in order:
            tile = row.get(key)
            if tile is None:
                cells.append(Cell("–"))
                continue
            number = next(iter(tile.numbers.values()), None)
            cells.append(Cell(tile.value, tile.mark, key, number, tile.note))
        rows.append(cells)
    return Sheet("Verdicts", ["result", *(labels[key] for key in order)], rows)
