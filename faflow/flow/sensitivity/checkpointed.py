"""Back along the steps of an explicit Runge-Kutta method, recomputed from save to save.

The flow keeps its states at the saves and the times of its steps. From the last pair of saves to
the first the steps between are taken again, without error estimates or rejections, and kept with
their stages as far as `BYTES` go (of more, the last ones, then those before). Each is then
transposed, lambda_n = (dy_{n+1}/dy_n)^T lambda_{n+1}: to rounding the transposed of the forward
derivative with "free" sensitivities.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Flag, Integer, Scalar, Times
from ..flow import Flow
from ..loop.carry import Carry, heading_for
from ..loop.course import course
from ..loop.flat import FlatProblem
from ..solution import FlowSolution
from .explicit import explicit, explicit_step, transposed_step

STEPS = 2**15  # of a flow that is differentiated backwards
BYTES = 2**26  # of steps that are taken again, with their stages, and
MOST = 2**9  # steps at the most


class StepLog(NamedTuple):
    """The states at the saves, when every step that was kept ended (`STEPS`,), how many there were
    at every save, and whether there was room for all."""

    states: Array
    ends: Array
    at_saves: Array
    fits: Flag


class _Logged(NamedTuple):
    carry: Carry
    ends: Array


def logged_flow(flow: Flow) -> tuple[FlowSolution, StepLog]:
    """The solution, and what the way back needs of it."""
    parts, flat = course(flow), FlatProblem(flow.problem)

    def advance(now: _Logged, held: Any, target: Scalar, limit: Integer | None) -> _Logged:
        unfinished = heading_for(target, limit)

        def one(now: _Logged) -> _Logged:
            counts = now.carry.counts
            tried = counts.accepted + counts.rejected
            later = parts.advance(now.carry, held, target, tried + 1)
            moved = later.counts.accepted > counts.accepted
            place = jnp.where(moved, counts.accepted, STEPS)
            return _Logged(later, now.ends.at[place].set(later.t, mode="drop"))

        return jax.lax.while_loop(lambda now: unfinished(now.carry), one, now)

    logged = parts._replace(
        start=lambda: _Logged(parts.start(), jnp.full(STEPS, flow.ts[-1])),
        hold=lambda now: parts.hold(now.carry),
        advance=advance,
        clock=lambda now: parts.clock(now.carry),
        state=lambda now: parts.state(now.carry),
        observe=lambda state: {"states": state},
        watch=lambda now: parts.watch(now.carry),
        finish=lambda now: (parts.finish(now.carry)[0], now.ends),
    )
    solution, ends = logged.whole(flow.ts)
    states = solution.records["states"]
    records = jax.lax.map(lambda state: flat.seen(flow.observables, state), states)
    accepted = solution.counts_at.accepted
    steps = StepLog(states, ends, accepted, solution.counts.accepted <= STEPS)
    return solution._replace(records=records), steps


def retraced(
    parts: Any,
    times: Times,
    states: tuple[Array, Array],
    between: tuple[Integer, Integer],
    ends: Array,
    adjoint: Array,
    slopes: list[Array],
) -> tuple[Array, list[Array]]:
    """lambda and dL/d(values) at times[0], from those at times[1]. `between`: the numbers of the
    first step from there and of the first one after; `ends`: when steps end."""
    tableau = explicit(parts.flow.numerics.build_solver())
    assert tableau is not None
    first, values, size = between[0], parts.values, adjoint.size
    stages = len(np.asarray(tableau.b))
    room = max(1, min(MOST, BYTES // ((1 + stages) * size * adjoint.dtype.itemsize)))

    def place(i: Integer) -> tuple[Scalar, Scalar]:
        t = jnp.where(i == first, times[0], ends[i - 1])
        return t, ends[i] - t

    def field(t: Scalar, state: Array) -> Array:
        return parts.field(t, state, values)

    def back(now: tuple[Integer, Array, list[Array]]) -> tuple[Integer, Array, list[Array]]:
        last, *adjoint_and_slopes = now
        low = jnp.maximum(first, last - room)

        def again(i: Integer, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            state, states, taken = now
            later, inside = explicit_step(field, tableau, *place(i), state)
            at = jnp.maximum(i - low, 0)
            return later, states.at[at].set(state), taken.at[at].set(inside)

        kept = jnp.zeros((room, size)), jnp.zeros((room, stages, size))
        _, *kept = jax.lax.fori_loop(first, last, again, (states[0], *kept))

        def pull(n: Integer, now: tuple[Array, list[Array]]) -> tuple[Array, list[Array]]:
            i = last - 1 - n
            there, taken = (rows[i - low] for rows in kept)
            return transposed_step(parts.field, tableau, *place(i), there, taken, values, *now)

        return low, *jax.lax.fori_loop(0, last - low, pull, tuple(adjoint_and_slopes))

    start = (between[1], adjoint, slopes)
    return jax.lax.while_loop(lambda now: now[0] > first, back, start)[1:]
