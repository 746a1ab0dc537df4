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

from ..._compiling import is_traced
from ..._types import Array, PyTree, Scalar
from ..flow import Flow
from ..solution import FlowSolution
from .refusal import check_smooth, whole
from .variation import Direction, Variation, along, read_end, seen, with_rule

Run = Callable[[Flow], FlowSolution]


@eqx.filter_custom_jvp
def forward(flow: Flow, run: Run) -> FlowSolution:
    """run(flow), with the forward derivative of every number in it."""
    return as_arrays(run(flow))


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
    records, changes = both.records["values"], both.records["changes"]
    if many:  # saves came first
        changes = jax.tree.map(lambda change: jnp.moveaxis(change, 1, 0), changes)
    ends: Any = both.weights, both.feedback  # each with its derivative (`read_end`)
    (weights, feedback), (weights_change, feedback_change) = ends
    solution = both._replace(records=records, weights=weights, feedback=feedback)
    at_end, ts_change = None, None
    if move.ts is not None:
        ts_change = jnp.where(both.reached, move.ts, 0.0)
        at_end = move.ts[..., -1]
        rates, (w_rate, f_rate) = _rates(flow, both)
        changes = _added(changes, rates, move.ts)
        weights_change = _added(weights_change, w_rate, at_end)
        feedback_change = _added(feedback_change, f_rate, at_end)
    certain = whole(solution)
    moved = jax.tree.map(lambda _: None, solution)._replace(
        ts=ts_change,
        records=changes,
        weights=weights_change,
        feedback=feedback_change,
        t_final=at_end,
    )
    return solution, jax.tree.map(lambda change: certain * change, moved)


def _rates(flow: Flow, both: FlowSolution) -> tuple[Any, Any]:
    """d/dt of the records at every save, and of the weights and feedback at the end."""
    problem = flow.problem
    rule, given = problem.rule, (problem.feedback, problem.data)

    def rate(see: Callable[..., Any], t: Scalar, state: PyTree) -> Any:
        velocity = rule.velocity(t, state, *given)
        return along(lambda s: see(s, *given), (state,), (velocity,))[1]

    states = both.records["state"]
    see = lambda s, *given: seen(rule, flow.observables, s, *given)  # noqa: E731
    records = jax.vmap(lambda t, state: rate(see, t, state))(flow.ts, states)
    last = jax.tree.map(lambda leaf: leaf[-1], states)
    ended = lambda s, *given: read_end(rule, s, *given)  # noqa: E731
    return records, rate(ended, flow.ts[-1], last)


def _added(changes: Any, rates: Any, times: Array) -> Any:
    """`times`: of the shape that `changes` begin with."""

    def add(change: Array, rate: Array) -> Array:
        return change + rate * times.reshape(times.shape + (1,) * (change.ndim - times.ndim))

    return jax.tree.map(add, changes, rates)
