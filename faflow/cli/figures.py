"""Figures of a stored result, as commands draw them: whole or absent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError
from ..drawn import names_drawn

AT_ONCE = ("png", "csv")  # files of the overview that a run draws


def draw_run(result: Any, figures: str) -> list[Path]:
    """Draw a run: the overview in a hurry, or with `figures` = "all" everything."""
    from ..plots import OVERVIEW, draw

    only = () if figures == "all" else ([OVERVIEW], AT_ONCE)
    return _whole(result.folder, lambda: draw(result, *only))


def draw_stored(result: Any) -> list[Path]:
    """Every figure of a stored run, or of a sweep."""
    from ..plots import draw
    from ..plots.sweep import draw_sweep

    return _whole(result.folder, lambda: (draw_sweep if result.swept else draw)(result))


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

    try:
        with whole_or_absent(folder / "figures"):
            return act()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError("figures", f"can't be written to {folder} ({reason})") from error
