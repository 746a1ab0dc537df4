"""Figures of a stored result, as commands draw them: whole or absent."""

import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError, disk_refusals
from ..drawn import names_drawn

AT_ONCE = ("png", "csv")  # files of the overview that a run draws


def draw_run(result: Any, figures: str) -> list[Path]:
    """Draw a run: the overview in a hurry, or with `figures` = "all" everything."""
    from ..plots import OVERVIEW, FigureStyle, draw

    if figures == "all":
        return _whole(result.folder, lambda: draw(result))
    return _whole(result.folder, lambda: draw(result, [OVERVIEW], FigureStyle(kinds=AT_ONCE)))


def draw_stored(result: Any, only: Sequence[str] | None = None, look: Any = None) -> list[Path]:
    """Every figure of a stored run, or those named; of a sweep every one. ConfigError if there is
    none of a name."""
    from ..plots import FIGURES, OVERVIEW, FigureStyle, draw
    from ..plots.sweep import draw_sweep

    look = FigureStyle() if look is None else look
    if result.swept and only:
        raise ConfigError("--only", "names figures of runs, but this is a sweep; leave it out")
    if unknown := [name for name in only or () if name not in (*FIGURES, OVERVIEW)]:
        known = ", ".join([*FIGURES, OVERVIEW])
        raise ConfigError("--only", f"must be of {known}, but is {unknown[0]}; name one of those")
    if result.swept:
        return _whole(result.folder, lambda: draw_sweep(result, look))
    return _whole(result.folder, lambda: draw(result, only, look))


def look_of(given: Namespace) -> Any:
    """How figures are to look, of what `faflow plot` was given. ConfigError for what can't be."""
    from ..plots.style import COLUMN, FONT, KINDS, FigureStyle

    kinds = KINDS if given.format is None else tuple(given.format.split(","))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        what = f"must be of {', '.join(KINDS)}, but is {unknown[0]}; for instance --format pdf"
        raise ConfigError("--format", what)
    width = COLUMN if given.width is None else _inches(given.width)
    font = FONT if given.font is None else given.font
    if not 4 <= font <= 24:
        raise ConfigError("--font", f"must be 4 to 24 points, but is {font:g}; papers have 8 or so")
    if not 2 <= width * FONT / font <= 20:
        what = f"must be {2 * font / FONT:.2g} to {20 * font / FONT:.2g} inches at a font of "
        raise ConfigError("--width", f"{what}{font:g} points, but is {width:g}; give another")
    return FigureStyle(kinds, width, font, not given.no_titles)


def _inches(text: str) -> float:
    """3.3in, 8.4cm, 84mm, 238pt (of TeX), or inches without a unit."""
    units = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    try:
        width = float(text.removesuffix(unit)) * units.get(unit, 1.0)
    except ValueError:
        width = math.nan
    if not math.isfinite(width):
        what = f"must be a length such as 3.3in, 8.4cm or 238pt, but is {text}; give one"
        raise ConfigError("--width", what)
    return width


def lacks(result: Any, figures: str) -> bool:
    """Whether figures of a run that are asked for are still to be drawn."""
    if figures == "none":
        return False
    place = result.folder / "figures"
    whole = any(name.endswith(".pdf") for name in names_drawn(place))  # a run's overview has none
    return result.fresh or not place.exists() or (figures == "all" and not whole)


def _whole(folder: Path, act: Callable[[], list[Path]]) -> list[Path]:
    """What `act` draws in a result's folder, whole or absent. ConfigError if that can't be
    written."""
    from ..store.files import whole_or_absent

    with (
        disk_refusals("figures", f"can't be written to {folder}"),
        whole_or_absent(folder / "figures"),
    ):
        return act()
