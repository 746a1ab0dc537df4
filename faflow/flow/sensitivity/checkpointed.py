"""Back along the steps of an explicit Runge-Kutta method, recomputed from save to save.

The flow keeps its states at the saves and the times of its steps. From the last pair of saves to
the first the steps between are taken again, without error estimates or rejections, and kept with
their stages as far as `MOST` and `BYTES` go. Of more, states at every so many steps are kept, and
from each of these, the last first, steps are taken once more. Each step is then transposed,
lambda_n = (dy_{n+1}/dy_n)^T lambda_{n+1}: to rounding the transposed of the forward derivative with
"free" sensitivities.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Flag, Integer, Scalar
from ...solvers import ExplicitTableau
from ..flow import Flow
from ..loop.carry import Carry, heading_for
from ..loop.course import course
from ..loop.flat import FlatProblem
from ..solution import FlowSolution
from .explicit import explicit, explicit_step, transposed_step
from .parts import Parts, Pulled, Stretch

STEPS = 2**15  # of a flow that is differentiated backwards
BYTES = 2**26  # of steps that are taken again, with their stages, and
MOST = 2**6  # steps at the most: vmap copies all of them at every step
MARKS = STEPS // MOST  # states to begin again from, at the most


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
    """What steps that are taken again are kept in: their states (rows + 1, n) and stages (rows + 1,
    stages, n), and the states at every so many steps between two saves (marks + 1, n). The last row
    takes what is not kept. Every pair of saves uses them again, since to clear them takes longer
    than a step."""

    states: Array
    stages: Array
    marks: Array


def room_for(parts: Parts, state: Array) -> Room:
    size, stages = state.size * state.dtype.itemsize, len(np.asarray(_tableau(parts).b))
    rows = max(1, min(MOST, 3 * BYTES // (4 * (1 + stages) * size)))
    marks = max(1, min(MARKS, BYTES // (4 * size)))
    shapes = (rows + 1,), (rows + 1, stages), (marks + 1,)
    return Room(*(jnp.zeros((*shape, state.size), state.dtype) for shape in shapes))


def retraced(parts: Parts, stretch: Stretch, back: Pulled, room: Room) -> tuple[Pulled, Room]:
    """lambda and dL/d(values) at the first of the stretch's times, from those at the second."""
    tableau, values = _tableau(parts), parts.values
    (first, last), (rows, _, most) = stretch.between, (len(part) - 1 for part in room)
    apart = jnp.maximum(rows, -((first - last) // most))  # steps from mark to mark

    def place(i: Integer) -> tuple[Scalar, Scalar]:
        t = jnp.where(i == first, stretch.times[0], stretch.ends[i - 1])
        return t, stretch.ends[i] - t

    def step(i: Integer, state: Array) -> tuple[Array, Array]:
        field = lambda t, state: parts.field(t, state, values)  # noqa: E731
        return explicit_step(field, tableau, *place(i), state)

    def mark(i: Integer, now: tuple[Array, Array]) -> tuple[Array, Array]:
        marks, state = now
        state, past = step(i, state)[0], i + 1 - first
        return _put(marks, jnp.where(past % apart > 0, most, past // apart), state), state

    def go_back(now: tuple[Integer, Pulled, Array, Array]) -> tuple[Integer, Pulled, Array, Array]:
        high, back, *kept = now
        low = first + (high - 1 - first) // apart * apart
        begun = jnp.maximum(low, high - rows)

        def again(i: Integer, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            states, stages, state = now
            row, (later, inside) = jnp.where(i < begun, rows, i - begun), step(i, state)
            return _put(states, row, state), _put(stages, row, inside), later

        there = marks[(low - first) // apart]
        *kept, _ = jax.lax.fori_loop(low, high, again, (*kept, there))

        def pull(n: Integer, back: Pulled) -> Pulled:
            i = high - 1 - n
            at = (part[i - begun] for part in kept)
            return Pulled(*transposed_step(parts.field, tableau, *place(i), *at, values, *back))

        return begun, jax.lax.fori_loop(0, high - begun, pull, back), *kept

    begun = _put(room.marks, 0, stretch.states[0]), stretch.states[0]
    top = first + (last - 1 - first) // apart * apart
    marks, _ = jax.lax.fori_loop(first, top, mark, begun)
    start = (last, back, room.states, room.stages)
    _, back, *kept = jax.lax.while_loop(lambda now: now[0] > first, go_back, start)
    return back, Room(*kept, marks)


def _put(rows: Array, row: Integer | int, value: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(rows, value, row, 0)


def _tableau(parts: Parts) -> ExplicitTableau:
    tableau = explicit(parts.flow.numerics.build_solver())
    assert tableau is not None
    return tableau
