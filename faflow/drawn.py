"""Which files in a folder of figures faflow drew: all others there are the user's, and stay."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

LIST = ".drawn"
FIGURE = re.compile(r"[^/]+\.(png|pdf|csv)")


def names_drawn(figures: Path) -> list[str]:
    """Their names; none where the list can't be read."""
    try:
        names = json.loads((figures / LIST).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    names = names if isinstance(names, list) else []
    return [name for name in names if isinstance(name, str) and FIGURE.fullmatch(name)]


def note_drawn(figures: Path, names: Sequence[str]) -> None:
    """That faflow drew these files, too. A list that is written by halves is none."""
    (figures / LIST).write_text(json.dumps(sorted({*names_drawn(figures), *names})), "utf-8")


def remove_drawn(figures: Path) -> None:
    """Take away what faflow drew, and the list."""
    for name in names_drawn(figures):
        (figures / name).unlink(missing_ok=True)
    (figures / LIST).unlink(missing_ok=True)
