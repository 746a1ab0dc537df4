"""The numbers of a figure as a table: one row per save, exact."""

import csv
import io
from collections.abc import Sequence

from .panel import Panel
from .stored import Stored


def table(figure: str, panels: Sequence[Panel], stored: Stored) -> str:
    """CSV text: a commented line saying what each column is, the names, the rows.

    Numbers are the shortest decimals that read back as the same float64; `nan` is a missing value.
    """
    columns = {curve.column: curve for panel in panels for curve in panel.curves}
    meanings = [f"{name} = {curve.meaning}" for name, curve in columns.items()]
    about = f"{figure} of {stored.name} ({stored.status}): "
    comment = " ".join((about + "; ".join(["time = time of the save", *meanings])).split())
    out = io.StringIO()
    out.write(f"# {comment}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["time", *(" ".join(name.split()) for name in columns)])
    series = [stored.times, *(curve.values for curve in columns.values())]
    writer.writerows([repr(float(value)) for value in row] for row in zip(*series, strict=True))
    return out.getvalue()
