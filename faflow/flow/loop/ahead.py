"""Solvers that run ahead of the save that is asked for: what is shown there, and where a stop was
met, is read off their own polynomial.

Stepping onto every save time, as `stepping.py` does, would cut the history of a multistep method
at each of them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Scalar
from ...solvers import norm
from .carry import RUNNING, Carry
from .stepping import Stepper
from .stops import first_root

Read = Callable[[Any, Scalar], Array]  # history, t within its last step -> the state there


def placed(carry: Carry, ahead: Any, read: Read, held: int | None = None) -> Carry:
    """Where the solver is, or at the stop that it met. `held`: entries of the state, the first
    ones, that its size is of (None: all)."""
    history = ahead.history
    t, state = history.t, history.differences[0]
    if carry.hunt is not None:
        t = jnp.minimum(t, ahead.stop)
        state = jnp.where(ahead.stop < history.t, read(history, ahead.stop), state)
    dt = history.h * history.factor
    return carry._replace(t=t, dt=dt, state=state, size=norm(state[:held]))


def at_save(end: Carry, target: Scalar, read: Read, held: int | None = None) -> Carry:
    """At the target if the solver is beyond it; what it met out there is not known yet."""
    history = end.solver_state.history
    beyond = end.t > target
    place = jnp.where(beyond, read(history, target), end.state)
    ahead = end.solver_state._replace(outcome=end.outcome)
    return end._replace(
        t=jnp.where(beyond, target, end.t),
        state=place,
        size=norm(place[:held]),
        outcome=jnp.where(beyond, RUNNING, end.outcome),
        solver_state=ahead,
    )


def hunted(
    flow: Stepper, before: Carry, after: Carry, kept: Flag, read: Read, held: int | None = None
) -> Carry:
    """After a step; at the place in it where a stop was met."""
    hunt = before.hunt
    if hunt is None:
        return after
    history = after.solver_state.history
    gaps, peak = flow.gaps(after.t, after.state, after.peak_speed)

    def within(t: Scalar) -> Array:
        return flow.gaps(t, read(history, t), peak)[0]

    def seek() -> tuple[Scalar, Array]:
        return first_root(within, before.t, after.t, hunt.gaps, gaps)

    passed = kept & (jnp.min(gaps) <= 0) & (jnp.min(hunt.gaps) > 0)
    t, gaps = jax.lax.cond(passed, seek, lambda: (after.t, gaps))
    more = after.counts.evaluations + (0 if flow.numerics.stops.steady is None else 1)
    state = jnp.where(passed, read(history, t), after.state)
    return after._replace(
        t=t,
        state=state,
        size=norm(state[:held]),
        peak_speed=peak,
        counts=after.counts._replace(evaluations=more),
        hunt=hunt._replace(gaps=gaps),
        solver_state=after.solver_state._replace(stop=jnp.where(passed, t, jnp.inf)),
    )
