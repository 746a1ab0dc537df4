"""The exact flow of a network with kinks: Filippov's solution, event by event."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ..._results import Outcome
from ..._types import Array, Times
from ...networks.draws import frobenius
from ...observables import AbstractObservable
from ...rules import AbstractLayerwiseRule
from ..events import EventLog, EventRecord, Fork
from ..problem import FlowProblem, Numerics
from ..solution import FlowSolution, unreached
from .field import Field, Motion
from .march import advance, first_state, sliding_pairs
from .mode import no_sliding
from .pairs import Layout, layout_of, slopes_of
from .runge_kutta import tableau_of
from .setting import Setting
from .state import State
from .watch import RUNNING

TIERS = (0, 8, 24, 56)  # sliding pairs a program is compiled for, besides the most allowed


def check_exact(problem: FlowProblem, numerics: Numerics) -> None:
    """Raise ValueError unless the rule, activation and solver can be integrated exactly."""
    if not isinstance(problem.rule, AbstractLayerwiseRule):
        raise ValueError(
            f"Exact integration serves layerwise rules, but the rule is "
            f"{type(problem.rule).__name__}; use kinks = 'plain'."
        )
    if len(problem.weights.weights) < 2:
        raise ValueError("Exact integration needs a hidden layer; use kinks = 'plain'.")
    slopes_of(problem.weights.activation)
    if numerics.step is not None:
        raise ValueError("Exact integration chooses its steps; leave `step` out.")
    tableau_of(numerics.build_solver())
    jax.eval_shape(lambda: _at_start(_field(problem, numerics)))


def _at_start(field: Field) -> Motion:
    flat = field.flat(field.problem.weights)
    return field.motion_at_rest(flat, no_sliding(jnp.zeros(field.layout.pairs, bool), 1))


def _field(problem: FlowProblem, numerics: Numerics) -> Field:
    layout = layout_of(problem.weights, problem.data.inputs.shape[0])
    top = min(numerics.exact.slots, layout.pairs)
    tiers = (*(tier for tier in TIERS if tier < top), top)
    return Field(problem, layout, slopes_of(problem.weights.activation), tiers)


def solve_exact(
    problem: FlowProblem,
    ts: Times,
    observables: dict[str, AbstractObservable],
    numerics: Numerics,
    meter: diffrax.AbstractProgressMeter,
) -> FlowSolution:
    """The Filippov solution of d(weights)/dt from ts[0] to ts[-1], recorded at every ts."""
    field, data = _field(problem, numerics), problem.data
    table = tableau_of(numerics.build_solver())
    setting = Setting(field, numerics, ts[0], ts[-1], table, meter)

    def observe(state: State):
        weights = field.network(state.here.flat)
        return {name: see(weights, problem.feedback, data) for name, see in observables.items()}

    def tail_scale(state: State):
        if not numerics.tail:
            return jnp.ones_like(state.t)
        now = frobenius(data.residual(field.network(state.here.flat)(data.inputs)))
        first = frobenius(data.residual(problem.weights(data.inputs)))
        return jnp.clip(jnp.where(first > 0, now / first, 1.0), 1e-12, 1.0)

    def segment(carry, target):
        running = carry[0].outcome == RUNNING
        state, log = advance(setting, *carry, target, tail_scale(carry[0]))
        shapes = jax.eval_shape(observe, state)
        records = jax.lax.cond(running, observe, lambda _: unreached(shapes), state)
        when = jnp.where(running, state.t, jnp.nan)
        seen = (state.counts, state.events, *sliding_pairs(setting, state))
        return (state, log), (when, running, records, seen)

    (end, log), (times, reached, records, seen) = jax.lax.scan(segment, first_state(setting), ts)
    meter.close(end.meter)
    counts_at, events_at, sliding_at, pairs_at, gates_at = seen
    completed = jnp.asarray(Outcome.COMPLETED.value, end.outcome.dtype)
    return FlowSolution(
        ts=times,
        reached=reached,
        records=records,
        weights=field.network(end.here.flat),
        feedback=problem.feedback,
        t_final=end.t,
        counts=end.counts,
        counts_at=counts_at,
        kinks=None,
        outcome=jnp.where(end.outcome == RUNNING, completed, end.outcome),
        events=EventRecord(
            counts=end.events,
            counts_at=events_at,
            sliding_at=sliding_at,
            pairs_at=pairs_at,
            gates_at=gates_at,
            above=end.mode.above,
            sliding=end.mode.sliding,
            log=_log(field.layout, log, numerics.exact.events),
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
