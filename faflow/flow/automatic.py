"""`solver = "auto"`: tsit5, and from where a flow turns stiff, the BDF.

Flows of learning turn stiff late: the fast directions have come to rest, the slow ones have not,
and an explicit method goes on at the step that keeps the fast ones stable. tsit5 notices that by
itself (`solvers.stiffness`). Whether to change is a matter of what is left to do: the second
program has to be compiled, and the BDF starts at order 1.

The choice is made between two programs, so a flow that never turns stiff compiles one, and inside
another program (under jit or vmap) nothing is chosen: that is tsit5 throughout.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.core import Tracer

from .._types import Array, Times
from ..observables import AbstractObservable
from ..solvers import evaluations_per_step
from .problem import FlowProblem, Numerics
from .served import refuse_kinks
from .solution import FlowSolution, Leg
from .stepping import STIFF, Counts, ImplicitCounts, Standing

FIRST, THEN = "tsit5", "bdf"  # the first is what the registry builds for "auto"
WORTH = 100_000  # evaluations of a tiny field (some 0.4 s) that are worth a second program
UNITS = 400  # units times samples, and
PRODUCTS = 40_000  # weights times samples, that cost as much as everything else in a tiny field
STARTING = 100  # explicit steps that cost what the BDF's own way takes, at rtol 1e-6
ORDER = 6  # its steps grow like the rtol^(1 / ORDER)

RunLeg = Callable[..., tuple[FlowSolution, Standing]]


def is_automatic(numerics: Numerics) -> bool:
    return isinstance(numerics.solver, str) and numerics.solver == "auto" and (
        numerics.kinks == "plain"
    )  # fmt: skip


def choose_on_the_way(
    problem: FlowProblem,
    ts: Times,
    observables: dict[str, AbstractObservable],
    numerics: Numerics,
    meter: diffrax.AbstractProgressMeter,
    run_leg: RunLeg,
) -> FlowSolution:
    """The flow, by one solver or two; `legs` tells which and why. `run_leg`: as `solve_leg`."""
    why_not = why_unwatched(problem, numerics, (problem, ts, numerics))
    enough = None if why_not else jnp.asarray(enough_steps(problem, numerics), ts.dtype)
    first, left = run_leg(problem, ts, observables, numerics, meter, None, enough)
    if why_not or int(first.outcome) != STIFF:
        reason = why_not or "to the end: not stiff, or not for long enough to change"
        return first._replace(legs=(_leg(FIRST, ts[0], None, first.counts, reason),))
    implicit = dataclasses.replace(numerics, solver=THEN)
    second, _ = run_leg(problem, ts, observables, implicit, meter, left, None)
    more = float((ts[-1] - left.t) / left.dt)
    legs = (
        _leg(FIRST, ts[0], None, first.counts, "to begin with"),
        _leg(
            THEN, left.t, first.counts, second.counts,
            f"stiff: {FIRST}'s steps were at the limit of stability, with about {more:.2g} to go",
        ),
    )  # fmt: skip
    return joined(first, second, ts > left.t)._replace(legs=legs)


def why_unwatched(problem: FlowProblem, numerics: Numerics, values: Any) -> str:
    """Why the flow stays with its first solver whatever happens; "" if it does not."""
    if numerics.step is not None:
        return "its step is fixed"
    try:
        refuse_kinks(problem)
    except ValueError:
        return "its activation has a kink, where implicit solvers do not serve"
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values)):
        return "one program can't change its solver"
    return ""


def enough_steps(problem: FlowProblem, numerics: Numerics) -> float:
    """Explicit steps still to go that make it worth while to change to the BDF.

    Compiling the BDF takes seconds whatever the field, an evaluation microseconds or a second. So
    what is left has to be some tenths of a second by the size of the net: counted, not clocked, so
    that a flow is the same on every machine. And the BDF has to be ahead at all.
    """
    samples = problem.data.inputs.shape[0]
    size = sum(leaf.size for leaf in jax.tree.leaves(problem.weights))
    units = sum(weights.shape[0] for weights in problem.weights.weights)
    effort = 1 + units * samples / UNITS + size * samples / PRODUCTS
    each = evaluations_per_step(numerics.build_solver()) or 1
    starting = STARTING * max(1.0, (1e-6 / float(numerics.rtol)) ** (1 / ORDER))
    return max(starting, WORTH / (each * effort))


def joined(first: FlowSolution, second: FlowSolution, later: Array) -> FlowSolution:
    """One solution of two: saves that come `later` are the second's, all others the first's."""

    def pick(one: Array, two: Array) -> Array:
        return jnp.where(later.reshape(-1, *(1,) * (two.ndim - 1)), two, one)

    blank = jnp.zeros_like(first.counts_at.accepted)
    before = first.counts_at._replace(implicit=ImplicitCounts(blank, blank, blank, blank))
    return second._replace(
        ts=pick(first.ts, second.ts),
        reached=pick(first.reached, second.reached),
        records=jax.tree.map(pick, first.records, second.records),
        counts_at=jax.tree.map(pick, before, second.counts_at),
    )


def _leg(solver: str, since: Any, before: Counts | None, after: Counts, reason: str) -> Leg:
    if before is None:
        return Leg(solver, since, *after[:3], reason)
    work = (two - one for one, two in zip(before[:3], after[:3], strict=True))
    return Leg(solver, since, *work, reason)
