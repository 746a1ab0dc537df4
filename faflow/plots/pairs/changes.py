"""The logged changes of pairs (neuron, sample), layer by layer: who crossed, who slid how long."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...measures.variables.datasets import xr


@dataclass(frozen=True)
class Changes:
    """The changes of one hidden layer, pair by pair and in order of time.

    `key` (changes,): neuron * samples + sample; `became`: -1 below 0, 0 sliding on it, 1 above;
    `start_above` (pairs,): the side every pair starts on, None if that was not stored; `end`: how
    far the log reaches.
    """

    layer: int
    samples: int
    width: int
    time: np.ndarray
    key: np.ndarray
    became: np.ndarray
    start_above: np.ndarray | None
    start: float
    end: float

    @property
    def pairs(self) -> int:
        return self.samples * self.width

    @cached_property
    def first(self) -> np.ndarray:
        """Whether a change is the first one of its pair."""
        return np.diff(self.key, prepend=-1) != 0

    @cached_property
    def last(self) -> np.ndarray:
        """Whether a change is the last one of its pair."""
        return np.diff(self.key, append=-1) != 0

    @cached_property
    def until(self) -> np.ndarray:
        """The time of the pair's next change, or the end of the log."""
        return np.where(self.last, self.end, np.roll(self.time, -1))

    @cached_property
    def crossed(self) -> np.ndarray:
        """Whether a change is a crossing: neither from sliding nor to it."""
        return (self.became != 0) & (self.first | (np.roll(self.became, 1) != 0))

    def spans(self, became: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(key, start, end) of the intervals in which pairs are in a state that they came to."""
        inside = self.became == became
        return self.key[inside], self.time[inside], self.until[inside]

    def active(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(key, start, end) of the intervals with h > 0, from the start of the flow on."""
        ends = np.full(self.pairs, self.end)
        ends[self.key[self.first]] = self.time[self.first]
        sides = np.zeros(self.pairs, bool) if self.start_above is None else self.start_above
        key, start, end = self.spans(1)
        (above,) = np.nonzero(sides)
        return (
            np.concatenate([above, key]),
            np.concatenate([np.full(len(above), self.start), start]),
            np.concatenate([ends[above], end]),
        )


def changes_of(events: xr.Dataset, layer: int) -> Changes:
    """The changes of a hidden layer, 1 being the first."""
    samples, widths = int(events.attrs["samples"]), hidden_widths(events)
    mine = events["event_layer"].values == layer
    time, unit, sample, became = (
        events[f"event_{name}"].values[mine] for name in ("time", "unit", "sample", "became")
    )
    key = unit.astype(int) * samples + sample
    order = np.argsort(key, kind="stable")
    return Changes(
        layer=layer,
        samples=samples,
        width=widths[layer - 1],
        time=time[order],
        key=key[order],
        became=became[order].astype(int),
        start_above=_start_above(events, layer, samples, widths),
        start=float(events["time"].values[0]),
        end=log_end(events),
    )


def hidden_widths(events: xr.Dataset) -> list[int]:
    return [int(width) for width in np.atleast_1d(events.attrs["hidden"])]


def dropped(events: xr.Dataset) -> int:
    """How many changes came after the log was full."""
    return int(events["changes"].values[-1].sum()) - events.sizes.get("change", 0)


def log_end(events: xr.Dataset) -> float:
    """The end of the flow, or the last logged change if the log was full before."""
    last = events["event_time" if dropped(events) > 0 else "time"].values[-1]
    return float(last)


def _start_above(
    events: xr.Dataset, layer: int, samples: int, widths: list[int]
) -> np.ndarray | None:
    """By key; stored in the order layer, sample, neuron."""
    if "start_above" not in events:
        return None
    skip, width = samples * sum(widths[: layer - 1]), widths[layer - 1]
    values: Any = events["start_above"].values[skip : skip + samples * width]
    return values.reshape(samples, width).T.reshape(-1).astype(bool)


def ticked(units: np.ndarray, most: int) -> np.ndarray:
    """Which of the neurons `units` are named on an axis, `most` at most: every one, or those whose
    number 2, 5, 10, 20, ... divides."""
    step, factors = 1, itertools.cycle((2.0, 2.5, 2.0))
    while np.sum(units % step == 0) > most:
        step = round(step * next(factors))
    chosen = np.flatnonzero(units % step == 0)
    if chosen.size > 1 or units.size < 2:
        return chosen
    return np.arange(units.size)[:: -(-units.size // most)]  # rows of a few neurons, of any numbers
