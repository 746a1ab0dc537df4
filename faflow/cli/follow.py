"""`faflow plot --follow`: a run's picture, drawn again as its flow goes on, until it ends."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError, disk_refusals
from .printing import all_said, say
from .verdict import DONE, EARLY

LOOK = 0.5  # seconds between two looks


def follow(folder: str, pause: Callable[[float], Any] = time.sleep) -> int:
    """Draw FOLDER.png of what the run has recorded, and again after every checkpoint. The exit
    code: 3 if the flow's process has gone before its end. ConfigError if there is nothing that is
    recorded, or was."""
    from ..store.exchange import checkpoint_of
    from ..store.files import is_held
    from ..store.result import open_result
    from ..store.so_far import read_so_far, so_far_of
    from ..sweeps.result import is_sweep

    place = Path(os.path.expanduser(folder))
    if "\0" in folder or is_sweep(place):
        what = "is no run, whose records --follow draws; faflow plot draws what there is"
        raise ConfigError(folder.replace("\0", ""), what)
    records, drawn = so_far_of(place), 0
    while True:
        running = is_held(checkpoint_of(place))
        written = _written(records)
        if written not in (0, drawn):
            drawn = written
            try:
                result = read_so_far(place)
            except ConfigError:
                if _written(records):
                    raise
                continue  # the run has just ended
            about = result.summary
            saves = f"{len(result.times)} of {about['saves']} saves"
            _draw(result, place)
            say(f"{_picture(place)}: t = {about['t_final']:.6g} of {about['t1']:.6g}, {saves}")
            all_said()
        if not running:
            break
        pause(LOOK)
    if drawn and _written(records):
        say(f"{place}: its process has ended before its flow; the same command goes on from there")
        return EARLY
    try:
        result = open_result(place)
    except ConfigError as error:
        if os.path.lexists(place / "config.toml"):
            raise
        what = "holds no result, and no records of a flow that runs; faflow run --checkpoint 60 "
        raise ConfigError(str(place), f"{what}keeps some") from error
    _draw(result, place)
    say(f"{_picture(place)}: {result.status} at t = {result.summary['t_final']:.6g}")
    return DONE


def _written(path: Path) -> int:
    """When a file was; 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _picture(folder: Path) -> Path:
    """Beside the folder, which is not there yet: one place for as long as somebody looks."""
    folder = Path(os.path.abspath(folder))
    return folder.with_name(f"{folder.name}.png")


def _draw(result: Any, folder: Path) -> None:
    from ..plots.draw import draw_overview
    from ..plots.overview import DPI
    from ..store.files import replace_bytes

    picture = io.BytesIO()
    try:
        draw_overview(result).savefig(picture, format="png", dpi=DPI)
    except ValueError:  # nothing is recorded yet that could be drawn
        return
    with disk_refusals(str(_picture(folder)), "can't be written"):
        replace_bytes(_picture(folder), picture.getvalue())
