"""Records at every save time: what plain and exact flows share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..._packing import Packed, unpacked_here
from ..._results import Outcome
from ..._types import Array, Flag, Integer, Scalar, Times
from ..solution import FlowSolution, unreached
from .carry import RUNNING, Counts

Look = Callable[[Array], Any]


class Clock(NamedTuple):
    """Where a carry stands: time, outcome, the steps tried so far, and whether it can be recorded
    there (an exact flow has to decide first how it goes on); `level`: which program is to go on,
    where there are several (`course`)."""

    t: Scalar
    outcome: Integer
    steps: Integer
    settled: Flag | bool = True
    level: Integer | int = 0


class Watched(NamedTuple):
    """What is kept of every save, reached or not. Of exact flows too: events, sliding pairs per
    layer, who they are and their gates."""

    counts: Counts
    events: Any = None
    sliding: Any = None
    pairs: Any = None
    gates: Any = None


class Row(NamedTuple):
    """What is kept of a save: its time, whether the flow reached it, what was `seen` (the records,
    or the state of which they are made afterwards) and what was watched. Of all saves, each with
    leading axis `saves`."""

    time: Scalar | Times
    reached: Array
    seen: Any
    watched: Any


class Course(NamedTuple):
    """A flow in parts, of which `solve` makes one loop and `slices` one that can be left anywhere.

    `start` makes the first carry. `hold`: what the steps to the next save go by, made of the carry
    at the save before. `advance`: steps until a time, an outcome or a number of steps (None: any).
    `observe` makes the records of the `state` of a carry, once per save that the flow reaches (nan
    elsewhere), if there is anything that `records`; `watch` is evaluated at every save. `finish`:
    what comes of the last carry, but for the rows. Saves up to `since`, where the start stands, are
    somebody else's and are not recorded.
    """

    start: Callable[[], Any]
    hold: Callable[[Any], Any]
    advance: Callable[[Any, Any, Scalar, Integer | None], Any]
    clock: Callable[[Any], Clock]
    state: Callable[[Any], Array]
    observe: Callable[[Array], dict[str, Any]]
    watch: Callable[[Any], Watched]
    finish: Callable[[Any], tuple[FlowSolution, Any]]
    records: bool
    since: Scalar | None = None

    def whole(self, ts: Times) -> tuple[FlowSolution, Any]:
        """All of it at once: what one program can hold, also under vmap."""
        start = self.start()

        def segment(carry: Any, save: Scalar) -> tuple[Any, Row]:
            carry, _, row = self.towards(carry, self.hold(carry), save, None, self.observe)
            return carry, row

        end, rows = jax.lax.scan(segment, start, ts)
        solution, standing = self.finish(end)
        return with_rows(solution, rows, rows.seen), standing

    def towards(
        self, carry: Any, held: Any, save: Scalar, limit: Integer | None, look: Look
    ) -> tuple[Any, Flag, Row]:
        """On to a save: the carry, whether it is there or has met an outcome, and the save's row.

        `look`: what is seen of the state there.
        """
        now = self.clock(carry)
        # A flow may have ended at its start, which is a save.
        running = (now.outcome == RUNNING) | (now.t >= save)
        target = save
        if self.since is not None:
            running = running & (save > self.since)
            target = jnp.maximum(save, self.since)
        carry = self.advance(carry, held, target, limit)
        now = self.clock(carry)
        arrived = ((now.t >= target) & now.settled) | (now.outcome != RUNNING)
        reached = running & arrived
        seen = seen_if(reached, look, self.state(carry))
        when = jnp.where(reached, now.t, jnp.nan)
        return carry, arrived, Row(when, reached, seen, self.watch(carry))


def seen_if(reached: Flag, look: Look, state: Array) -> Any:
    """What `look` makes of a state; nan if no flow came there."""
    if look is itself:
        return jnp.where(reached, state, jnp.nan)
    look = jax.jit(look, inline=True)  # traced once, for its shapes and to be part of the program
    shapes = jax.eval_shape(look, state)
    return jax.lax.cond(reached, look, lambda _: unreached(shapes), state)


def itself(state: Array) -> Array:
    """The state is what is seen of it."""
    return state


def with_rows(solution: FlowSolution, rows: Row, records: dict[str, Any] | Packed) -> FlowSolution:
    """The solution with what was recorded at the saves."""
    records = unpacked_here(records) if isinstance(records, Packed) else records
    seen: Watched = rows.watched
    solution = solution._replace(
        ts=rows.time, reached=rows.reached, records=records, counts_at=seen.counts
    )
    if solution.events is None:
        return solution
    events = solution.events._replace(
        counts_at=seen.events, sliding_at=seen.sliding, pairs_at=seen.pairs, gates_at=seen.gates
    )
    return solution._replace(events=events)


def ended(outcome: Integer) -> Integer:
    """The outcome of a flow that has nothing left to do: still running means completed."""
    completed = jnp.asarray(Outcome.COMPLETED.value, outcome.dtype)
    return jnp.where(outcome == RUNNING, completed, outcome)
