"""Records at every save time: the scan that plain and exact flows share."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._results import Outcome
from .._types import Array, Integer, Scalar, Times
from .solution import unreached
from .stepping import RUNNING


def record_along(
    ts: Times,
    start: Any,
    advance: Callable[[Any, Scalar], Any],
    clock: Callable[[Any], tuple[Scalar, Integer]],
    observe: Callable[[Any], dict[str, Any]],
    watch: Callable[[Any], Any],
    since: Scalar | None = None,
) -> tuple[Any, tuple[Times, Array, dict[str, Any], Any]]:
    """`advance` from save to save. `clock`: (t, outcome) of a carry; `observe` is evaluated once
    per save that the flow reaches (nan elsewhere), `watch` at every save.

    Saves up to `since`, where the start stands, are somebody else's and are not recorded.

    Returns the last carry, and with leading axis `saves` the times, which saves were reached, the
    records and what was watched.
    """

    def segment(carry, target):
        running = clock(carry)[1] == RUNNING
        if since is not None:
            running = running & (target > since)
            target = jnp.maximum(target, since)
        carry = advance(carry, target)
        shapes = jax.eval_shape(observe, carry)
        records = jax.lax.cond(running, observe, lambda _: unreached(shapes), carry)
        when = jnp.where(running, clock(carry)[0], jnp.nan)
        return carry, (when, running, records, watch(carry))

    return jax.lax.scan(segment, start, ts)


def ended(outcome: Integer) -> Integer:
    """The outcome of a flow that has nothing left to do: still running means completed."""
    completed = jnp.asarray(Outcome.COMPLETED.value, outcome.dtype)
    return jnp.where(outcome == RUNNING, completed, outcome)
