"""What the march of an exact flow carries from one look at the field to the next."""

from typing import NamedTuple

import jax.numpy as jnp

from ..._types import Array, Flag, Integer, Scalar
from ..events import EventCounts
from ..loop.carry import Counts
from ..loop.stops import Hunt
from .decisions.ties import Surfaces
from .field import Motion
from .mode import Mode

# Phases: what the next look at the field is for.
STEP, LOOK, PIVOT, CHATTER = range(4)

# Turns: what becomes of a plan before the next look. It stays; it begins; its `above` and `sliding`
# are the next guess: once dead samples are settled, as they are along shared surfaces, as they are.
STAY, BEGIN, GUESS, FOLLOW, TAKE = range(5)


class Here(NamedTuple):
    """Where the flow stands. `near` (pairs,): h is 0 up to rounding; others as in `Motion`."""

    flat: Array
    velocity: Array
    h: Array
    speed: Array
    near: Array
    low: Array
    high: Array


def here_of(flat: Array, motion: Motion) -> Here:
    near = jnp.abs(motion.h) <= motion.rounding
    return Here(
        flat, motion.velocity, motion.h, motion.speed, near, motion.low, motion.high
    )  # fmt: skip


class Trial(NamedTuple):
    """A step that holds an event: its `end`, the field there, its length, and the search for the
    event at `theta`: the pair's, or a gate's if `pair` is -1. `correction` is the Hermite cubic's
    error; a gate's exit lies between `low` and `high`, with the margins there; `guess` is the
    theta sought first."""

    end: Array
    velocity: Array
    dt: Scalar
    theta: Scalar
    pair: Integer
    correction: Array
    low: Scalar
    low_margin: Scalar
    high: Scalar
    high_margin: Scalar
    guess: Scalar
    looks: Integer


class Plan(NamedTuple):
    """A decision under way.

    `turn`: what becomes of it before the next look; `above`, `sliding` (pairs,): who is to be where
    in the next guess. `guess`: the mode looked at next, `dead`: pairs that have no say in it,
    `torn`: one of them that could be on either side, or -1; `surface`: pairs that may change;
    `one`: those among them that have one surface; `crossed`: those whose side in the guess is
    already the other one;
    `causes`: those that brought the event about; `rounds` so far. `chattered`: the discrete rule
    has been asked: `who` (slots,) are the pairs it was asked about, `sums` of their steps,
    `flipped` lately. `first` (pairs,): the mode found (-1 below, 0 sliding, 1 above) when the guess
    is a second opinion on `doubted` pairs, `first_side` its gates' sides, while others are
    `waiting` for one; `opinion`: 1 while one is asked for, 2 after it.
    """

    turn: Integer
    above: Array
    sliding: Array
    guess: Mode
    dead: Array
    torn: Integer
    surface: Array
    one: Surfaces
    crossed: Array
    causes: Array
    rounds: Integer
    chattered: Flag
    who: Array
    sums: Array
    flipped: Array
    first: Array
    first_side: Array
    doubted: Array
    waiting: Array
    opinion: Integer


class Log(NamedTuple):
    """The first changes: time, pair and what it became (-1 below, 0 sliding, 1 above)."""

    time: Array
    pair: Array
    became: Array
    written: Integer


class State(NamedTuple):
    """All that an exact flow needs to go on.

    `dt`: the step the error allows; `cap`: the longest next trial, cut at a root (inf: none);
    `moved`: time since the last decision; `stalled`: decisions in a row without progress; `missed`:
    landings in a row that failed; `level`: of the program that is to go on; `hunt`: for a stop, if
    one is watched.
    """

    t: Scalar
    dt: Scalar
    first_dt: Scalar
    cap: Scalar
    moved: Scalar
    here: Here
    mode: Mode
    phase: Integer
    trial: Trial
    plan: Plan
    counts: Counts
    events: EventCounts
    stalled: Integer
    missed: Integer
    outcome: Integer
    peak_speed: Scalar
    fork_time: Scalar
    fork_pair: Integer
    level: Integer
    hunt: Hunt | None = None
