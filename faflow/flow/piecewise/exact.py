"""The exact flow of a network with kinks: Filippov's solution, event by event."""

import jax.numpy as jnp
import numpy as np

from ..._compiling import shapes
from ..._types import Array, Times
from ...networks import with_layers
from ...rules import AbstractLayerwiseRule
from ..events import EventLog, EventRecord, Fork
from ..flow import Flow
from ..loop.recording import Course, Watched, ended
from ..problem import FlowProblem, Numerics, blow_up_size, residual_share
from ..solution import FlowSolution
from .field import Field, Motion
from .march import advance, clock, first_state, sliding_pairs
from .mode import no_sliding
from .pairs import Layout, layout_of, slopes_of
from .runge_kutta import tableau_of
from .setting import Setting
from .state import Log, State

Carry = tuple[State, Log]

TIERS = (0, 8, 16, 24, 40)  # sliding pairs a program has code for, besides the most allowed
FEW = 2  # tiers of the program that a flow begins with; the other one has them all
LAST = 1  # that program's level


def check_exact(problem: FlowProblem, numerics: Numerics) -> None:
    """Raise ValueError unless the rule, activation and solver can be integrated exactly."""
    if not isinstance(problem.rule, AbstractLayerwiseRule):
        raise ValueError(
            f"Exact integration serves layerwise rules, but the rule is "
            f"{type(problem.rule).__name__}; use kinks = 'plain'."
        )
    if len(with_layers(problem.weights, "Exact integration").weights) < 2:
        raise ValueError("Exact integration needs a hidden layer; use kinks = 'plain'.")
    slopes_of(problem.weights.activation)
    if numerics.step is not None:
        raise ValueError("Exact integration chooses its steps; leave `step` out.")
    tableau_of(numerics.build_solver())
    shapes(_at_start, problem, numerics)


def _at_start(problem: FlowProblem, numerics: Numerics) -> Motion:
    field = _field(problem, numerics)
    flat = field.flat(field.problem.weights)
    return field.motion_at_rest(flat, no_sliding(jnp.zeros(field.layout.pairs, bool), 1))


def _field(problem: FlowProblem, numerics: Numerics, level: int = LAST) -> Field:
    layout = layout_of(problem.weights, problem.data.inputs.shape[0])
    slots = min(numerics.exact.slots, layout.pairs)
    tiers = (*(tier for tier in TIERS if tier < slots), slots)
    tiers = tiers if level == LAST else tiers[:FEW]
    return Field(problem, layout, slopes_of(problem.weights.activation), slots, tiers)


def exact_course(flow: Flow, level: int | None = None) -> Course:
    """The Filippov solution of d(weights)/dt from ts[0] to ts[-1], recorded at every ts.

    `level`: 0 goes on for as long as few pairs slide, 1 whatever happens, as None does.
    """
    level = LAST if level is None else level
    problem, ts, observables, numerics, *_ = flow
    field = _field(problem, numerics, level)
    table, limit = tableau_of(numerics.build_solver()), blow_up_size(problem, numerics)
    setting = Setting(field, numerics, ts[0], ts[-1], limit, table, level)

    def hold(carry: Carry) -> Array:
        if numerics.tail:
            return residual_share(problem, field.network(carry[0].here.flat))
        return jnp.ones_like(carry[0].t)

    def onwards(carry: Carry, tail, target, limit) -> Carry:
        return advance(setting, *carry, target, tail, limit)

    def observe(flat: Array):
        weights = field.network(flat)
        return {
            name: see(weights, problem.feedback, problem.data) for name, see in observables.items()
        }

    return Course(
        start=lambda: first_state(setting),
        hold=hold,
        advance=onwards,
        clock=lambda carry: clock(carry[0]),
        state=lambda carry: carry[0].here.flat,
        observe=observe,
        watch=lambda carry: Watched(
            carry[0].counts, carry[0].events, *sliding_pairs(setting, carry[0])
        ),
        finish=lambda carry: (_solution(field, carry, ts[:0], numerics.exact.events), None),
        records=bool(observables),
    )


def _solution(field: Field, last: Carry, none: Times, events: int) -> FlowSolution:
    """What comes of the last carry, but for what was recorded at saves (`none`)."""
    end, log = last
    return FlowSolution(
        ts=none,
        reached=none,
        records={},
        weights=field.network(end.here.flat),
        feedback=field.problem.feedback,
        t_final=end.t,
        counts=end.counts,
        counts_at=end.counts,
        kinks=None,
        outcome=ended(end.outcome),
        events=EventRecord(
            counts=end.events,
            counts_at=end.events,
            sliding_at=none,
            pairs_at=none,
            gates_at=none,
            above=end.mode.above,
            sliding=end.mode.sliding,
            log=_log(field.layout, log, events),
            fork=_fork(field.layout, end),
        ),
    )


def _log(layout: Layout, log, size: int) -> EventLog:
    time, pair = log.time[:size], log.pair[:size]
    return EventLog(time, *_places(layout, pair), log.became[:size], log.written)


def _fork(layout: Layout, end: State) -> Fork:
    return Fork(end.fork_time, *_places(layout, end.fork_pair))


def _places(layout: Layout, pair: Array) -> tuple[Array, Array, Array]:
    tables: tuple[np.ndarray, ...] = (layout.layer, layout.sample, layout.unit)
    layer, sample, unit = (jnp.asarray(table)[pair] for table in tables)
    return layer, sample, unit
