"""Back along the steps of an explicit Runge-Kutta method, recomputed from save to save.

The flow keeps its states at the saves and the times of its steps. From the last pair of saves to
the first the steps between are taken again, without error estimates or rejections, and their states
kept; of more than half of `BYTES` holds every k-th, from which on the k steps before the next one
are taken once more. Each step is then transposed, lambda_n = (dy_{n+1}/dy_n)^T lambda_{n+1}: to
rounding the transposed of the forward derivative with "free" sensitivities.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, Scalar
from ..flow import Flow
from ..loop.carry import Carry, heading_for
from ..loop.course import course
from ..loop.flat import FlatProblem
from ..solution import FlowSolution
from .explicit import explicit, explicit_step
from .parts import Parts, Pulled, Stretch

STEPS = 2**15  # of a flow that is differentiated backwards
BYTES = 2**26  # of states at steps that are taken again, and
MOST = 2**10  # of them at the most, twice


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


class Room(NamedTuple):
    """Rows for states (`rows` + 1, n), of which the last one takes what is not kept: of some steps
    between two saves, and of all steps after one of these. Every pair of saves uses them again,
    since to clear them takes longer than a step."""

    marks: Array
    states: Array

    @property
    def rows(self) -> int:
        return len(self.marks) - 1


def room_for(state: Array) -> Room:
    rows = max(1, min(MOST, BYTES // (2 * state.size * state.dtype.itemsize)))
    return Room(*(jnp.zeros((rows + 1, state.size), state.dtype) for _ in range(2)))


def retraced(parts: Parts, stretch: Stretch, back: Pulled, room: Room) -> tuple[Pulled, Room]:
    """lambda and dL/d(values) at the first of the stretch's times, from those at the second."""
    tableau = explicit(parts.flow.numerics.build_solver())
    assert tableau is not None
    (first, last), rows = stretch.between, room.rows
    stride = jnp.maximum(1, -((first - last) // rows))  # of the marks

    def step(i: Integer, state: Array, values: list[Array]) -> Array:
        t = jnp.where(i == first, stretch.times[0], stretch.ends[i - 1])
        field = lambda t, state: parts.field(t, state, values)  # noqa: E731
        return explicit_step(field, tableau, t, stretch.ends[i] - t, state)

    def taken(low: Integer, high: Integer, state: Array, kept: Array, row: Any) -> Array:
        """`kept` with the states at the steps low, ..., high - 1, from the one at `low`."""

        def put(kept: Array, i: Integer, state: Array) -> Array:
            return jax.lax.dynamic_update_index_in_dim(kept, state, row(i), 0)

        def one(i: Integer, now: tuple[Array, Array]) -> tuple[Array, Array]:
            state = step(i, now[1], parts.values)
            return put(now[0], i + 1, state), state

        return jax.lax.fori_loop(low, high - 1, one, (put(kept, low, state), state))[0]

    def go_back(now: tuple[Integer, Pulled, Array]) -> tuple[Integer, Pulled, Array]:
        high, back, kept = now
        mark = (high - 1 - first) // stride
        low = first + mark * stride
        begun = jnp.maximum(low, high - rows)
        row = lambda i: jnp.where(i < begun, rows, i - begun)  # noqa: E731
        kept = taken(low, high, marks[mark], kept, row)

        def pull(n: Integer, back: Pulled) -> Pulled:
            i = high - 1 - n
            later = lambda state, values: step(i, state, values)  # noqa: E731
            more = Pulled(*jax.vjp(later, kept[i - begun], parts.values)[1](back.adjoint))
            return Pulled(more.adjoint, jax.tree.map(jnp.add, back.slopes, more.slopes))

        return begun, jax.lax.fori_loop(0, high - begun, pull, back), kept

    def row(i: Integer) -> Integer:
        return jnp.where((i - first) % stride > 0, rows, (i - first) // stride)

    marks = taken(first, last, stretch.states[0], room.marks, row)
    start = (last, back, room.states)
    _, back, kept = jax.lax.while_loop(lambda now: now[0] > first, go_back, start)
    return back, Room(marks, kept)
