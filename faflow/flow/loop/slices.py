"""A flow in slices: one program, called again and again, that goes on for some steps at a time.
What is observed at the saves is computed by a program of its own when the flow is over, from the
states that were kept there; on the way where these would be too large.

What is passed from one slice to the next is everything that the flow knows, and a slice may end
anywhere, so that a flow which was cut, reported on, or stored and taken up again ends in the same
bits as one that nobody interrupted. Progress is told between slices, outside the program: with or
without it that is the same one. How many steps the next slice may take goes by the clock, so that
an interruption is noticed soon; it is an array, and changes nothing but where the flow is cut.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._compiling import LONG, LOOP, ONCE, Use, program
from ..._packing import Packed, in_vectors, places_of
from ..._programs import Program
from ..._types import Array, Flag, Integer
from ..effort import field_effort, is_elementwise
from ..flow import Flow
from ..memory import STATES
from ..problem import FlowProblem
from ..solution import FlowSolution
from .course import course
from .recording import Course, Look, Row, itself, seen_if, with_rows

Meter = Callable[[float], Any]
Programs = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]

FIRST = 500  # steps of a tiny field in the first slice: some 25 ms
LONGER = 16  # times as many in the next one, at most
SECONDS = 0.25  # that a slice should take
MOST = 2**30  # steps in a slice
MUCH = 3e5  # fields' effort times saves: a second of looking


class Underway(NamedTuple):
    """A flow between two slices: its carry, what the steps to the next save go by, the rows of all
    saves, how many of these are done, and the level of the program that is to go on."""

    carry: Any
    held: Any
    rows: Row
    saves: Integer
    level: Integer


# Told of a flow after a slice: where it is, what it would return if it ended there (but for the
# rows), and whether it is over. All of it is gone once the next slice runs.
Heard = Callable[[Underway, FlowSolution, bool], None]


def begin(flow: Flow) -> Underway:
    """A flow at the first of its times."""
    parts, saves = course(flow), flow.ts.size
    carry = _arrays(parts.start())
    look = _look(parts, carry, saves)
    shapes = jax.eval_shape(lambda carry: (look(parts.state(carry)), parts.watch(carry)), carry)
    seen, watched = jax.tree.map(lambda s: jnp.zeros((saves, *s.shape), s.dtype), shapes)
    t = parts.clock(carry).t
    rows = Row(jnp.zeros(saves, t.dtype), jnp.zeros(saves, bool), seen, watched)
    zero = jnp.zeros((), int)
    found = Underway(carry, _arrays(parts.hold(carry)), rows, zero, zero)
    # What is handed in must not be handed out: the next slice overwrites its input.
    return jax.lax.optimization_barrier(found)


def go_on(
    flow: Flow, underway: Underway, budget: Integer, until: Integer, level: int = 0
) -> tuple[Underway, tuple[FlowSolution, Any]]:
    """The flow some steps and saves later, `budget` together, at the save number `until`, or where
    it asks for a program of a higher `level`; and what `solve_leg` would return if it ended here,
    but for the rows."""
    parts, ts = course(flow, level=level), flow.ts
    look = _look(parts, underway.carry, ts.size)
    limit = _done(parts, underway) + budget

    def unfinished(now: Underway) -> Flag:
        return (now.saves < until) & (_done(parts, now) < limit) & (now.level <= level)

    def onwards(now: Underway) -> Underway:
        save = jax.lax.dynamic_index_in_dim(ts, now.saves, keepdims=False)
        carry, arrived, row = parts.towards(now.carry, now.held, save, limit - now.saves, look)
        # The row of a save on the way to which the slice ends is written once more by the next.
        rows = jax.tree.map(
            lambda column, entry: jax.lax.dynamic_update_index_in_dim(column, entry, now.saves, 0),
            now.rows, row,
        )  # fmt: skip
        held = jax.tree.map(
            lambda new, old: jnp.where(arrived, new, old), parts.hold(carry), now.held
        )
        saves, asked = now.saves + arrived.astype(int), parts.clock(carry).level
        asked = jnp.asarray(asked, now.level.dtype)
        return Underway(_arrays(carry), _arrays(held), rows, saves, asked)

    end = jax.lax.while_loop(unfinished, onwards, underway)
    return end, parts.finish(end.carry)


def observed(flow: Flow, rows: Row, carry: Any) -> dict[str, Any] | Packed:
    """The records of all saves, of a flow that is over; `with_rows` takes them."""
    if _look(course(flow), carry, flow.ts.size) is not itself:
        return rows.seen
    return observed_at(flow, rows.reached, rows.seen)


def observed_at(flow: Flow, reached: Array, states: Array) -> Packed:
    """The records of saves at which these are the states, nan where the flow came to none."""
    parts = course(flow)
    observe = jax.jit(lambda state: parts.observe(state), inline=True)  # traced once, for both
    places = places_of(
        jax.eval_shape(observe, jax.ShapeDtypeStruct(states.shape[1:], states.dtype))
    )

    def look(state: Array) -> Mapping[str, Array]:
        return in_vectors(observe(state)).vectors

    vectors = jax.lax.map(lambda row: seen_if(row[0], look, row[1]), (reached, states))
    return Packed(vectors, places)


def keeps_states(underway: Underway) -> bool:
    """Whether its rows hold the states of which records are made when the flow is over."""
    return not isinstance(underway.rows.seen, dict)


def _look(parts: Course, carry: Any, saves: int) -> Look:
    """What is kept of the state at a save: itself, if those of all saves are small."""
    state = jax.eval_shape(parts.state, carry)
    small = saves * state.size * state.dtype.itemsize <= STATES
    return itself if parts.records and small else parts.observe


def _arrays(tree: Any) -> Any:
    """All leaves as arrays of a type of their own, none that adapts to what it meets (a weak one
    in what the first slice gets would make a second program)."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), tree)


def _done(parts: Course, now: Underway) -> Integer:
    return parts.clock(now.carry).steps.astype(int) + now.saves


def programs_of_flows(steps: Use = LOOP, records: Use = ONCE) -> tuple[Program, Program, Program]:
    """`begin`, `go_on` and `observed`, compiled as they are called; the last two for that use."""
    # An input that is overwritten in place: rows may be large.
    onwards = program(go_on, steps, "all-except-first")
    return program(begin, ONCE), onwards, program(observed, records)


def use_of_steps(problem: FlowProblem) -> Use:
    """How `go_on` is compiled."""
    return LONG if is_elementwise(problem) else LOOP


def use_of_records(flow: Flow) -> Use:
    """How `observed` is compiled: it pays to optimise what looks at large nets often."""
    return LOOP if field_effort(flow.problem) * flow.ts.size > MUCH else ONCE


def first_budget(problem: FlowProblem) -> int:
    """Steps of the first slice."""
    # Several processes wait for each other in every step, so their clocks may not decide.
    return MOST if jax.process_count() > 1 else max(1, int(FIRST / field_effort(problem)))


def next_budget(budget: int, seconds: float) -> int:
    """Steps of a slice after one of `budget` steps that took so long."""
    if jax.process_count() > 1:
        return MOST
    fitting = budget * min(SECONDS / max(seconds, 1e-9), LONGER)
    return int(min(max(fitting, 1), MOST))


def in_slices(
    flow: Flow,
    heard: Heard | None = None,
    programs: Programs | None = None,
    start: Underway | None = None,
    by_save: bool = False,
) -> tuple[FlowSolution, Any]:
    """`solve_leg`, slice by slice: `heard` is told after each.

    `programs`: `begin`, `go_on` and `observed`, compiled.
    `start`: from there on, instead of from the beginning. `by_save`: no slice goes beyond a save.
    """
    first, onwards, last = programs or programs_of_flows(
        use_of_steps(flow.problem), use_of_records(flow)
    )
    saves, budget = flow.ts.size, first_budget(flow.problem)
    underway = first(flow) if start is None else start
    done, over = int(underway.saves), False
    solution: Any = None
    standing: Any = None
    while not over:
        started = time.perf_counter()
        until = min(done + 1, saves) if by_save else saves
        limits = np.asarray(budget), np.asarray(until)
        underway, ending = onwards(flow, underway, *limits, int(underway.level))
        solution, standing = ending
        done = int(underway.saves)
        over = done == saves
        budget = next_budget(budget, time.perf_counter() - started)
        if heard is not None:
            heard(underway, solution, over)
    records = last(flow, underway.rows, underway.carry)
    return with_rows(solution, underway.rows, records), standing


def progress_told(meter: Meter | None, flow: Flow) -> Heard | None:
    """Tells a meter how much of the flow's time lies behind it; 1 when it is over, wherever."""
    if meter is None:
        return None
    first, last = np.asarray(flow.ts)[[0, -1]].tolist()  # an index of JAX's would be a program

    def tell(underway: Underway, solution: FlowSolution, over: bool) -> None:
        del underway
        meter(1.0 if over else (float(solution.t_final) - first) / (last - first))

    return tell
