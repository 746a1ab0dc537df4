"""Forward derivatives of a flow, by the flow of its variational equation.

The flow of (s, S) (`variation.py`) is one like any other: every solver takes it, "auto" chooses on
the way, and it runs in slices where nothing is traced. Its steps are held to s alone ("free": S is
then the derivative of the steps that were taken, with their sizes as they are) or to both
("controlled"). A step size is never differentiated.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._compiling import ONCE, compiled, is_inside, is_traced
from ..._types import Array, PyTree, Scalar
from ..flow import Flow
from ..problem import FlowProblem
from ..solution import FlowSolution
from .refusal import check_smooth, whole
from .variation import Direction, Observables, Variation, along, read_end, seen, with_rule

Run = Callable[[Flow], FlowSolution]


@eqx.filter_custom_jvp
def forward(flow: Flow, run: Run) -> FlowSolution:
    """run(flow), with the forward derivative of every number in it."""
    alone = is_traced(flow) and not is_inside()
    return as_arrays((within(run) if alone else run)(flow))


@forward.def_jvp
def _forward(given: tuple[Flow, Run], moves: tuple[Flow, Any]) -> tuple[FlowSolution, Any]:
    (flow, run), move = given, moves[0]
    check_smooth(flow, move)
    if not is_traced((flow, move)):
        return pushed(flow, move, run)
    return _batched(flow, move, within(run))


@cache
def within(run: Run) -> Run:
    """One compiled program of what would be traced operation by operation under vmap."""
    return eqx.filter_jit(run)


def pushed(flow: Flow, move: Flow, run: Run, many: bool = False) -> tuple[FlowSolution, Any]:
    return _parted(flow, move, forward(_varied(flow, move, many), run), many)


def _batched(flow: Flow, move: Flow, run: Run) -> tuple[FlowSolution, Any]:
    """The same, where vmap over directions alone (`jax.jacfwd`) makes one flow with all of them
    beside it."""
    arrays, rest = eqx.partition((flow, move), eqx.is_array)

    @jax.custom_batching.custom_vmap
    def push(arrays: Any) -> Any:
        flow, move = eqx.combine(arrays, rest)
        # A second derivative comes with zeros for what stands still.
        still = eqx.filter(flow.numerics, eqx.is_inexact_array)
        numerics = eqx.combine(jax.lax.stop_gradient(still), flow.numerics)
        return pushed(flow._replace(numerics=numerics), move, run)

    @push.def_vmap
    def _(size: int, batched: Any, arrays: Any) -> tuple[Any, Any]:
        (batched,), all_of = batched, lambda value, tree: jax.tree.map(lambda _: value, tree)
        if any(jax.tree.leaves(batched[0])):
            axes = jax.tree.map(lambda over: 0 if over else None, batched)
            found = jax.vmap(push, in_axes=(axes,))(arrays)
            return found, all_of(True, found)
        moves = jax.tree.map(
            lambda way, over: way if over else jnp.broadcast_to(way, (size, *way.shape)),
            arrays[1], batched[1],
        )  # fmt: skip
        solution, moved = pushed(*eqx.combine((arrays[0], moves), rest), run, True)
        return (solution, moved), (all_of(False, solution), all_of(True, moved))

    return push(arrays)


def as_arrays(solution: FlowSolution) -> FlowSolution:
    return jax.tree.map(jnp.asarray, solution)


def _varied(flow: Flow, move: Flow, many: bool) -> Flow:
    """The flow of the state and its derivative, or of many of them."""
    problem, to = flow.problem, move.problem
    begin = None if move.ts is None else (flow.ts[0], move.ts[0])
    direction = Direction(
        to.rule,
        to.weights,
        to.feedback,
        to.data,
        move.observables,
        begin,
        move.ts is not None,
        many,
    )
    controlled = flow.numerics.sensitivities == "controlled"
    rule = Variation(problem.rule, direction, controlled)
    return flow._replace(problem=with_rule(problem, rule))


def _parted(flow: Flow, move: Flow, both: FlowSolution, many: bool) -> tuple[FlowSolution, Any]:
    """The solution and its derivative, None for what has none."""
    ends: Any = both.weights, both.feedback  # of both, and their derivatives (`read_end`)
    (weights, feedback), ended = ends
    records = both.records["values"]
    solution = both._replace(records=records, weights=weights, feedback=feedback)
    found = whole(solution), both.reached, both.records, ended
    seen_at = flow.problem, flow.observables, flow.ts
    ts, t_final, records, (weights, feedback) = _moved(*seen_at, move.ts, found, many)
    moved = jax.tree.map(lambda _: None, solution)._replace(
        ts=ts, t_final=t_final, records=records, weights=weights, feedback=feedback
    )
    return solution, moved


@compiled(ONCE)
def _moved(
    problem: FlowProblem,
    observables: Observables,
    ts: Array,
    way: Array | None,
    found: Any,
    many: bool,
) -> tuple[Any, Any, Any, Any]:
    """The derivatives of the times and the last of them, of what is recorded, and of the end
    (weights and feedback), the times moving that `way`."""
    certain, reached, records, ended = found
    changes = records["changes"]
    if many:  # saves came first
        changes = jax.tree.map(lambda change: jnp.moveaxis(change, 1, 0), changes)
    times = at_end = None
    if way is not None:
        times, at_end = jnp.where(reached, way, 0.0), way[..., -1]
        rates, end_rates = _rates(problem, observables, ts, records["state"])
        changes = _added(changes, rates, way)
        ended = tuple(_added(*each, at_end) for each in zip(ended, end_rates, strict=True))
    return jax.tree.map(lambda change: certain * change, (times, at_end, changes, ended))


def _rates(
    problem: FlowProblem, observables: Observables, ts: Array, states: PyTree
) -> tuple[Any, Any]:
    """d/dt of the records at every save, and of the weights and feedback at the end."""
    rule, given = problem.rule, (problem.feedback, problem.data)

    def rate(see: Callable[..., Any], t: Scalar, state: PyTree) -> Any:
        velocity = rule.velocity(t, state, *given)
        return along(lambda s: see(s, *given), (state,), (velocity,))[1]

    see = lambda s, *given: seen(rule, observables, s, *given)  # noqa: E731
    records = jax.vmap(lambda t, state: rate(see, t, state))(ts, states)
    last = jax.tree.map(lambda leaf: leaf[-1], states)
    ended = lambda s, *given: read_end(rule, s, *given)  # noqa: E731
    return records, rate(ended, ts[-1], last)


def _added(changes: Any, rates: Any, times: Array) -> Any:
    """`times`: of the shape that `changes` begin with."""

    def add(change: Array, rate: Array) -> Array:
        return change + rate * times.reshape(times.shape + (1,) * (change.ndim - times.ndim))

    return jax.tree.map(add, changes, rates)
