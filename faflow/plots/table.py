"""The numbers of a figure as a table, exact: one row per save, or as a panel lists them."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from .frame import Frame
from .panel import Panel


def csv_table(figure: str, panels: Sequence[Panel], frame: Frame) -> str:
    """CSV text: a commented line saying what each column is, the names, the rows.

    Numbers are the shortest decimals that read back as the same float64; `nan` is a missing value.
    """
    over = "time of the save" if frame.over == "time" else "the parameter"
    columns = _listed(panels) or {
        frame.over: (over, frame.times),
        **{c.column: (c.meaning, c.values) for panel in panels for c in panel.curves},
        **{
            f"{band.column} {edge}": (f"{band.meaning} ({edge} edge)", getattr(band, edge))
            for panel in panels
            for band in panel.bands
            for edge in ("lower", "upper")
        },
    }
    meanings = "; ".join(f"{name} = {meaning}" for name, (meaning, _) in columns.items())
    comment = " ".join(f"{figure} of {frame.name} ({frame.status}): {meanings}".split())
    out = io.StringIO()
    out.write(f"# {comment}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(" ".join(name.split()) for name in columns)
    series = [map(_text, values) for _, values in columns.values()]
    writer.writerows(zip(*series, strict=True))
    return out.getvalue()


def _listed(panels: Sequence[Panel]) -> dict[str, tuple[str, np.ndarray]] | None:
    """The panels' listings below one another; None if a panel has curves to tabulate."""
    listings = [panel.listing.columns for panel in panels if panel.listing is not None]
    if not listings or any(panel.curves for panel in panels):
        return None
    return {
        name: (meaning, np.concatenate([columns[name][1] for columns in listings]))
        for name, (meaning, _) in listings[0].items()
    }


def _text(value: np.generic) -> str:
    item = value.item()
    return item if isinstance(item, str) else repr(item)
