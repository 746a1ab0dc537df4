"""The exact flow of a network with kinks: Filippov's solution, event by event."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._results import Outcome
from ..._types import Array, Integer, Scalar, Times
from ...networks import AbstractNetwork
from ...observables import AbstractObservable
from ...rules import AbstractLayerwiseRule
from ..problem import FlowProblem, Numerics
from ..solution import unreached
from .field import Field
from .march import RUNNING, EventCounts, Log, March, State
from .pairs import layout_of, slopes_of
from .runge_kutta import Tableau, tableau_of

TIERS = (0, 4, 12, 32, 64)


class ExactSolution(NamedTuple):
    """As `FlowSolution`; `counts`, `counts_at` count events too, `sliding_at` (saves,) the pairs
    that slide at each save, `sliding` and `above` (pairs,) the mode at the end."""

    ts: Times
    reached: Array
    records: dict[str, Any]
    weights: AbstractNetwork
    t_final: Scalar
    counts: EventCounts
    counts_at: EventCounts
    sliding_at: Array
    above: Array
    sliding: Array
    log: Log
    outcome: Integer


def integrate_exact(
    problem: FlowProblem,
    ts: Times,
    observables: Mapping[str, AbstractObservable],
    numerics: Numerics | None = None,
    *,
    tiers: tuple[int, ...] = TIERS,
    logged: int = 0,
    key: Array | None = None,
) -> ExactSolution:
    """The Filippov solution of d(weights)/dt from ts[0] to ts[-1], recorded at every ts.

    `tiers`: sizes of the sliding set that get a program of their own; the last is the largest
    allowed. `logged`: so many changes of pairs are kept in `log`. `key`: for random pivots.
    Raises ValueError if the rule, activation or solver is not served.
    """
    numerics = Numerics() if numerics is None else numerics
    if not isinstance(problem.rule, AbstractLayerwiseRule):
        raise ValueError(
            f"Exact integration serves layerwise rules, but the rule is "
            f"{type(problem.rule).__name__}; use kinks = 'plain'."
        )
    table = tableau_of(numerics.build_solver())
    slopes = slopes_of(problem.weights.activation)
    layout = layout_of(problem.weights, problem.data.inputs.shape[0])
    top = min(tiers[-1], layout.pairs)
    tiers = (*(tier for tier in tiers if tier < top), top)
    key = jax.random.key(0) if key is None else key
    build = _Build(layout, slopes, tiers, _Hashed(table), logged)
    return compiled_solve(problem, jnp.asarray(ts, float), dict(observables), numerics, key, build)


class _Hashed:
    """A tableau compared by its numbers, so that equal ones share a program."""

    def __init__(self, table: Tableau):
        self.table = table
        self.same = (table.lower.tobytes(), table.weights.tobytes(), table.error.tobytes())

    def __eq__(self, other) -> bool:
        return isinstance(other, _Hashed) and self.same == other.same

    def __hash__(self) -> int:
        return hash(self.same)


class _Build(NamedTuple):
    layout: Any
    slopes: Any
    tiers: tuple[int, ...]
    table: _Hashed
    logged: int


def solve(problem, ts, observables, numerics, key, build: _Build) -> ExactSolution:
    field = Field(problem, build.layout, build.slopes, build.tiers)
    march = March(field, numerics, build.table.table, key, build.logged)

    def observe(state: State):
        weights = field.network(state.flat)
        return {
            name: see(weights, problem.feedback, problem.data) for name, see in observables.items()
        }

    def segment(state: State, target):
        running = state.outcome == RUNNING
        state = march.advance(state, target)
        shapes = jax.eval_shape(observe, state)
        records = jax.lax.cond(running, observe, lambda _: unreached(shapes), state)
        when = jnp.where(running, state.t, jnp.nan)
        return state, (when, running, records, state.counts, state.mode.held)

    start = march.init(ts[0], ts[-1] - ts[0])
    end, (times, reached, records, counts_at, sliding_at) = jax.lax.scan(segment, start, ts)
    completed = jnp.asarray(Outcome.COMPLETED.value, end.outcome.dtype)
    return ExactSolution(
        ts=times,
        reached=reached,
        records=records,
        weights=field.network(end.flat),
        t_final=end.t,
        counts=end.counts,
        counts_at=counts_at,
        sliding_at=sliding_at,
        above=end.mode.above,
        sliding=end.mode.sliding,
        log=end.log,
        outcome=jnp.where(end.outcome == RUNNING, completed, end.outcome),
    )


compiled_solve = eqx.filter_jit(solve)
