"""What an exact flow tells of its kinks: events, sliding pairs, gates, places of non-uniqueness."""

from typing import NamedTuple

from .._types import Array, Integer, Scalar


class EventCounts(NamedTuple):
    """Pairs that crossed 0, landed on it (slide), left it; events (moments at which the mode
    changed); trial steps cut short at an event; decisions that looked at another mode; places
    where the flow was not unique; the most pairs that slid at once."""

    crossed: Integer
    landed: Integer
    left: Integer
    events: Integer
    retried: Integer
    pivots: Integer
    forks: Integer
    most_sliding: Integer


class EventLog(NamedTuple):
    """The first changes of pairs: when, who (`layer` 0 is the first hidden one), and what the pair
    became: -1 below 0, 0 sliding on it, 1 above. `written` counts all; unused slots have t = nan.
    """

    time: Array
    layer: Array
    sample: Array
    unit: Array
    became: Array
    written: Integer


class Fork(NamedTuple):
    """The first place where the flow was not unique: the time and the pair that can go either way
    (layer -1: there was none)."""

    time: Scalar
    layer: Integer
    sample: Integer
    unit: Integer


class EventRecord(NamedTuple):
    """`counts` at the end, `counts_at` (saves,) at every save; `sliding_at` (saves, L-1): sliding
    pairs per hidden layer; `pairs_at`, `gates_at` (saves, slots): the sliding pairs (flat index
    l, mu, j over hidden layers, samples, neurons; -1: unused slot) and their gates in [0, 1];
    `above`, `sliding` (pairs,): the mode at the end."""

    counts: EventCounts
    counts_at: EventCounts
    sliding_at: Array
    pairs_at: Array
    gates_at: Array
    above: Array
    sliding: Array
    log: EventLog
    fork: Fork
