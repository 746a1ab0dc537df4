"""What the panels of a figure share: a horizontal axis, whose it is, and how that ended."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._results import ORDERLY
from ..store.result import Result
from ..store.so_far import RUNNING
from .style import COLUMN


@dataclass(frozen=True)
class Frame:
    """`times` run along the horizontal axis, or values of `over`, a parameter; `early`: the flow
    ended before what was asked of it, `end` says when: ` at t = 3.7`. Axes are laid out in columns
    of `width` inches, all of it drawn `scale` times as large."""

    name: str
    times: np.ndarray
    over: str = "time"
    status: str = "completed"
    early: bool = False
    end: str = ""
    width: float = COLUMN
    scale: float = 1.0

    @cached_property
    def log_time(self) -> bool:
        return log_spaced(self.times, *((4, 10.0) if self.over == "time" else (3, 3.0)))


def run_frame(result: Result) -> Frame:
    """The frame of a run's figures."""
    reached = f"t = {result.summary['t_final']:.4g}"
    running = result.status == RUNNING
    early = result.status not in ORDERLY and not running
    name = f"{result.name}, {reached} of {result.summary['t1']:.4g}" if running else result.name
    return Frame(name, result.times, "time", result.status, early, f" at {reached}")


def log_spaced(times: np.ndarray, few: int = 4, wide: float = 10.0) -> bool:
    """Whether saves are spaced evenly in log t, rather than in t: no less than `few` of them, over
    a ratio of `wide`."""
    positive = times[times > 0]
    if len(positive) < few or positive[-1] < wide * positive[0]:
        return False
    return _spread(np.diff(np.log(positive))) < _spread(np.diff(positive))


def _spread(steps: np.ndarray) -> float:
    """Interquartile range over median: one odd step, as at an early end, does not count."""
    low, middle, high = np.quantile(steps, [0.25, 0.5, 0.75])
    return float((high - low) / middle)
