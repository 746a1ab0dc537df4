"""Records at every save time: what plain and exact flows share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._results import Outcome
from .._types import Array, Integer, Scalar, Times
from .carry import RUNNING
from .solution import unreached


class Row(NamedTuple):
    """What is kept of a save: its time, whether the flow reached it, the records and what was
    watched. Of all saves, each with leading axis `saves`."""

    time: Scalar | Times
    reached: Array
    records: dict[str, Any]
    watched: Any


class Course(NamedTuple):
    """A flow in three parts: its first carry, the way to the next save, and what comes of the last
    carry and all rows. Run at once it is one program; save by save it can be interrupted."""

    start: Callable[[], Any]
    segment: Callable[[Any, Scalar], tuple[Any, Row]]
    finish: Callable[[Any, Row], Any]

    def whole(self, ts: Times) -> Any:
        return self.finish(*jax.lax.scan(self.segment, self.start(), ts))


def to_next_save(
    advance: Callable[[Any, Scalar], Any],
    clock: Callable[[Any], tuple[Scalar, Integer]],
    observe: Callable[[Any], dict[str, Any]],
    watch: Callable[[Any], Any],
    since: Scalar | None = None,
) -> Callable[[Any, Scalar], tuple[Any, Row]]:
    """`advance` a carry to a save. `clock`: (t, outcome) of a carry; `observe` is evaluated once
    per save that the flow reaches (nan elsewhere), `watch` at every save.

    Saves up to `since`, where the start stands, are somebody else's and are not recorded.
    """

    def segment(carry: Any, target: Scalar) -> tuple[Any, Row]:
        running = clock(carry)[1] == RUNNING
        if since is not None:
            running = running & (target > since)
            target = jnp.maximum(target, since)
        carry = advance(carry, target)
        shapes = jax.eval_shape(observe, carry)
        records = jax.lax.cond(running, observe, lambda _: unreached(shapes), carry)
        when = jnp.where(running, clock(carry)[0], jnp.nan)
        return carry, Row(when, running, records, watch(carry))

    return segment


def ended(outcome: Integer) -> Integer:
    """The outcome of a flow that has nothing left to do: still running means completed."""
    completed = jnp.asarray(Outcome.COMPLETED.value, outcome.dtype)
    return jnp.where(outcome == RUNNING, completed, outcome)
