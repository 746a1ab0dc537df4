"""The derivative of an exact ReLU flow: smooth inside a mode, with a jump at every event.

Where h of a pair passes or reaches 0 at a moment t*, the field changes from v- to v+ and t* moves
with the weights, so that

    S+ = S- + (v+ - v-) (dh S- + d_p h) / (dh v-),

v+ the sliding field if the pair stays on 0 (Leine & Nijmeijer 2004, the saltation matrix). A pair
that leaves 0 does so where its gate reaches an end, and the field is continuous there: no jump.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._compiling import ONCE, compiled
from .._results import Outcome
from .._types import Array, PyTree
from ..feedback import Feedback
from ..flow import Exact, Flow, FlowProblem, FlowSolution, Numerics, check_times, integrate
from ..flow.piecewise.pairs import Layout, layout_of, slopes_of
from ..flow.sensitivity.forward import pushed
from ..flow.sensitivity.variation import along, is_none, with_rule
from ..flow.whole import in_legs
from ..networks import AbstractNetwork
from ..solvers import norm
from ..solvers.vectors import dot
from ..tasks import Data
from .mode import InMode

LOG = 4096  # changes of pairs
GRAZING = 1e-6  # |dh v-| over |dh| |v-| below which a crossing is none
TOGETHER = 1e-12  # of the time: changes that are one event
CONTINUOUS = 1e-6  # share of the field that it may jump by where a pair leaves 0

_Pair = tuple[AbstractNetwork, AbstractNetwork]  # W, S


class Crossed(NamedTuple):
    """The weights at the last time, their derivative, the moments at which S jumped and the size of
    each jump over that of S; `flow`: the exact flow whose events these are."""

    weights: AbstractNetwork
    change: AbstractNetwork
    times: np.ndarray
    jumps: np.ndarray
    flow: FlowSolution


class _Event(NamedTuple):
    """When, which pair came to 0 (None: pairs only left it), and the sides afterwards."""

    time: float
    pair: int | None
    sides: np.ndarray


def across_kinks(
    make: Callable[..., FlowProblem],
    at: PyTree,
    direction: PyTree,
    ts: ArrayLike,
    numerics: Numerics | None = None,
    *,
    jumps: bool = True,
) -> Crossed:
    """d/ds of the weights at ts[-1] of the exact flow of make(at + s direction), s = 0.

    `make` builds the problem of arrays, `at` and `direction` are such arrays. The flow is run with
    its events logged, then (W, S) from event to event. `jumps = False` leaves the jumps out,
    which is
    wrong, and shows how much they matter. Not for jit or vmap. Raises ValueError for a flow that
    ends early or is not unique, two pairs that come to 0 at once, and a pair that grazes it.
    """
    check_times(ts)
    if numerics is None:
        numerics = Numerics(solver="tsit5", rtol=jnp.asarray(1e-10), atol=jnp.asarray(1e-12))
    arrays, moves = jax.jvp(
        lambda p: eqx.filter(make(p), eqx.is_inexact_array), (at,), (direction,)
    )
    problem = eqx.combine(arrays, make(at))
    exact = replace(numerics, kinks="exact", exact=Exact(events=LOG))
    flow = integrate(problem, ts, {}, exact, throw=False)
    _check_log(flow)
    chain = _Chain(problem, moves, replace(numerics, kinks="plain"))
    begin, end = np.asarray(ts, float)[[0, -1]].tolist()
    sides = chain.sides()
    events = _events(chain.layout, flow, sides, end - begin)
    # In eights, so that flows share programs.
    slots = 8 * -(-max([int(np.sum(event.sides == 0)) for event in events], default=0) // 8)
    t, now, sizes = begin, (problem.weights, moves.weights), []
    mode = chain.mode(sides, slots)
    for event in events:
        now = chain.onwards(mode, now, t, event.time)
        after = chain.mode(event.sides, slots)
        jump = chain.jump(mode, after, now, event)
        change = jax.tree.map(jnp.add, now[1], jump) if jumps else now[1]
        sizes.append(float(norm(jump) / norm(now[1])))
        t, now, mode = event.time, (now[0], change), after
    weights, change = chain.onwards(mode, now, t, end)
    times = np.array([event.time for event in events])
    return Crossed(weights, change, times, np.array(sizes), flow)


class _Chain(NamedTuple):
    """The problem, how it moves, and how it is integrated inside a mode."""

    problem: FlowProblem
    moves: FlowProblem
    numerics: Numerics

    @property
    def layout(self) -> Layout:
        return layout_of(self.problem.weights, self.problem.data.inputs.shape[0])

    def sides(self) -> np.ndarray:
        """1 or -1 for every pair at the start; 0 counts as below."""
        pre = self.problem.weights.trace(self.problem.data.inputs).pre[:-1]
        return np.where(np.asarray(self.layout.join(pre)) > 0, 1, -1)

    def mode(self, sides: np.ndarray, slots: int) -> InMode:
        """The rule with its gates; `slots`: the most pairs that slide on the way."""
        below, above = slopes_of(self.problem.weights.activation)
        gates = np.where(sides > 0, above, below) * (sides != 0)
        held = np.full(slots, len(sides))
        sliding = np.flatnonzero(sides == 0)
        held[: len(sliding)] = sliding
        rule: Any = self.problem.rule
        return InMode(rule, self.layout, jnp.asarray(gates), jnp.asarray(held))

    def onwards(self, mode: InMode, now: _Pair, t: float, end: float) -> _Pair:
        """(W, S) at a later time in the same mode."""
        if not end > t:
            return now
        problem = eqx.tree_at(lambda p: p.weights, with_rule(self.problem, mode), now[0])
        flow = Flow(problem, jnp.asarray([t, end]), {}, self.numerics)
        still = jax.tree.map(lambda _: None, flow)
        rule = eqx.tree_at(lambda r: r.rule, still.problem.rule, self.moves.rule, is_leaf=is_none)
        move = eqx.tree_at(
            lambda p: (p.rule, p.weights, p.feedback, p.data), still.problem,
            (rule, now[1], self.moves.feedback, self.moves.data), is_leaf=is_none,
        )  # fmt: skip
        solution, moved = pushed(flow, still._replace(problem=move), in_legs)
        return solution.weights, moved.weights

    def jump(self, before: InMode, after: InMode, now: _Pair, event: _Event) -> AbstractNetwork:
        """S+ - S-."""
        feedback, data, at = self.problem.feedback, self.problem.data, np.asarray(event.pair or 0)
        seen = _at_event(before, after, now, feedback, data, self.moves.data, at)
        if event.pair is None:
            if seen.gap > CONTINUOUS * seen.first:
                raise ValueError(
                    f"The field jumps at t = {event.time:g}, where a pair leaves 0; this event has "
                    "no derivative: move the start, or stop before it."
                )
            return jax.tree.map(jnp.zeros_like, now[1])
        if abs(seen.speed) <= GRAZING * seen.steepness * seen.first:
            raise ValueError(
                f"A pair grazes 0 at t = {event.time:g}, where the flow has no derivative; move "
                "the start, or stop before it."
            )
        return seen.jump


class _AtEvent(NamedTuple):
    """(v+ - v-) (dh S + d_p h) / (dh v-), |v+ - v-|, |v-|, dh v- and |dh|."""

    jump: AbstractNetwork
    gap: Array
    first: Array
    speed: Array
    steepness: Array


@compiled(ONCE)
def _at_event(
    before: InMode,
    after: InMode,
    now: _Pair,
    feedback: Feedback,
    data: Data,
    moves: Data,
    pair: Any,
) -> _AtEvent:
    weights, change = now
    first, then = (mode.vector_field(weights, feedback, data) for mode in (before, after))
    difference = jax.tree.map(jnp.subtract, then, first)
    h = lambda w, d: before.heights(w, d)[pair]  # noqa: E731
    slope = jax.grad(h)(weights, data)
    speed = dot(slope, first)
    _, height = along(h, (weights, data), (change, moves))
    jump = jax.tree.map(lambda d: d * height / speed, difference)
    return _AtEvent(jump, norm(difference), norm(first), speed, norm(slope))


def _events(layout: Layout, flow: FlowSolution, sides: np.ndarray, span: float) -> list[_Event]:
    """The log's changes, those of one moment together."""
    assert flow.events is not None
    log = flow.events.log
    count = int(log.written)
    time, layer, sample, unit, became = (np.asarray(column)[:count] for column in log[:5])
    starts = np.concatenate([[0], np.cumsum([layout.samples * n for n in layout.hidden])])
    widths, table, high = np.asarray(layout.hidden), layout.sample, layout.layer
    pairs = starts[layer] + sample * widths[layer] + unit
    found: list[_Event] = []
    groups = np.flatnonzero(np.diff(time, prepend=-np.inf) > TOGETHER * span)
    for first, last in zip(groups, [*groups[1:], count], strict=True):
        before, sides = sides, sides.copy()
        sides[pairs[first:last]] = became[first:last]
        here = np.unique(pairs[first:last])
        arrived = here[before[here] != 0]  # the lowest layer first
        # Where the last open unit of a sample closes, all above it that has no bias is 0 too.
        lone = np.all(
            (table[arrived[1:]] == table[arrived[:1]]) & (high[arrived[1:]] > high[arrived[:1]])
        )
        if not lone:
            raise ValueError(
                f"{len(arrived)} pairs come to 0 at once at t = {time[first]:g}, where the flow "
                "has no derivative; move the start, or stop before it."
            )
        pair = int(arrived[0]) if len(arrived) else None
        found.append(_Event(float(time[first]), pair, sides))
    return found


def _check_log(flow: FlowSolution) -> None:
    """Raise ValueError for an exact flow whose events are not all known."""
    assert flow.events is not None
    if int(flow.outcome) != Outcome.COMPLETED:
        raise ValueError(
            f"A derivative needs a flow that reaches the last of `ts`, but this one ended at t = "
            f"{float(flow.t_final):g}: {Outcome(int(flow.outcome)).message}; shorten `ts`."
        )
    if int(flow.events.counts.forks):
        raise ValueError(
            f"The flow is not unique from t = {float(flow.events.fork.time):g} on, so that it has "
            "no derivative; stop before."
        )
    if int(flow.events.log.written) > LOG:
        raise ValueError(
            f"A flow with a derivative may have at most {LOG} events, but has "
            f"{int(flow.events.log.written)}; shorten `ts`."
        )
