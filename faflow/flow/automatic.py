"""`solver = "auto"`: tsit5, or Adams' methods where the field is dear (`is_dear`), and the BDF as
soon as it is clear that it will pay.

Every look at a step of tsit5 tells how many steps stability alone will demand of what is left, R
(`solvers.stiffness`), long before the steps are at its limit. The BDF is worth about
`bdfs_way` such steps from start to end: some 160 of its own at rtol 1e-6 (60 to 430 in
benchmarks/results/races.csv), each worth 0.2 to 2.5 of tsit5's by what the field costs. So a step
speaks for the BDF if R is above

* `EARLY` times its way, far from the limit of stability. R is a bound from below only while the
  fastest rate stays, and of two flows that look alike the one may calm down;
* `LATE` times its way, at the limit. The transients are over then, over which the BDF would have
  spent half of its steps or more; its steps now grow with t.

A tenth of the BDF's way in such steps, and the flow changes: that is what being careful costs.
Under cross-entropy the rates decay like 1/t as the data are fitted, so that R means nothing early:
there only steps at the limit speak.

The second program has to be compiled, which takes seconds the first time, whatever the field, and
comes from the cache afterwards. So what is saved has to be some `FLOOR` besides. All of this is
counted, never clocked: a flow takes the same way on every machine. A step of tsit5 counts as
so many of Adams' methods as it costs (`runge_kutta_share`), three where the field is dear.

The choice is made between two programs, so a flow that never turns stiff compiles one, and inside
another program (under jit or vmap) nothing is chosen: that is tsit5 throughout.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._compiling import ONCE, compiled, is_traced
from .._types import Array
from ..solvers import BDF, Demand
from ..tasks import CrossEntropy
from .effort import field_effort, is_dear, runge_kutta_share
from .flow import Flow
from .loop.carry import STIFF, Counts, ImplicitCounts, Standing
from .loop.ways import way_of
from .memory import state_size
from .problem import FlowProblem, Numerics
from .served import refuse_kinks
from .solution import FlowSolution, Leg

FIRST, THEN = "tsit5", "bdf"  # the first is what the registry builds for "auto"
DEAR = "adams"  # the first where the field is dear
EARLY, LATE = 1.5, 0.5  # shares of the BDF's way
STEPS = 160  # of the BDF from start to end, at rtol 1e-6; and
ORDER = 8  # what they cost grows like rtol^(-1 / ORDER)
FACTORED = 0.2, 0.6  # what a step costs in tsit5's, a dear field, and what a cheap one adds,
MULTIPLIED = 0.5, 1.5  # with a factored Jacobian and with products
FLOOR = 2500  # steps of a tiny field (of some 8 us: 20 ms) that are worth a second program
CHEAP = 10  # tiny fields that a field costs of which half the price is overhead
WAIT = 0.1  # share of the BDF's way that is spent on making sure,
FEWEST, MOST = 5, 15  # within these

RunLeg = Callable[[Flow], tuple[FlowSolution, Standing | None]]


def is_automatic(numerics: Numerics) -> bool:
    """Whether the solver is chosen on the way; flows with kinks name theirs."""
    return isinstance(numerics.solver, str) and numerics.solver == "auto" and (
        numerics.kinks == "plain"
    )  # fmt: skip


def by_its_solvers(flow: Flow, run_leg: RunLeg) -> FlowSolution:
    """The flow, by the solver that is asked for or by those that are chosen on the way; `legs`
    tells what was chosen, and why. `run_leg`: as `solve_leg`."""
    if is_automatic(flow.numerics):
        return _chosen_on_the_way(flow, run_leg)
    solution, _ = run_leg(flow)
    if flow.numerics.solver != THEN or is_traced(flow):
        return solution
    return solution._replace(legs=(_way(flow, solution.counts),))


def _chosen_on_the_way(flow: Flow, run_leg: RunLeg) -> FlowSolution:
    problem, ts, _, numerics, *_ = flow
    why_not = why_unwatched(problem, numerics, (problem, ts, numerics))
    demand = None if why_not else demand_of(problem, numerics)
    name = FIRST
    if demand is not None and is_dear(problem, numerics):
        name, numerics = DEAR, dataclasses.replace(numerics, solver=DEAR)
        share = runge_kutta_share(problem)
        demand = demand._replace(early=share * demand.early, late=share * demand.late)
    first, left = run_leg(flow._replace(numerics=numerics, demand=demand))
    begin = float(np.asarray(ts)[0])  # an index of JAX's would be a program of its own
    if why_not or int(first.outcome) != STIFF:
        reason = why_not or "to the end: not stiff, or not for long enough to change"
        return first._replace(legs=(_leg(name, begin, None, first.counts, reason),))
    assert left is not None and left.demanded is not None
    implicit = dataclasses.replace(numerics, solver=THEN)
    second, _ = run_leg(flow._replace(numerics=implicit, since=left))
    reason = f"stiff: stability would demand about {float(left.demanded):.2g} more steps of {name}"
    reason += f"; by {way_of(problem, BDF(), state_size(problem)).told}"
    legs = (
        _leg(name, begin, None, first.counts, "to begin with"),
        _leg(THEN, left.t, first.counts, second.counts, reason),
    )
    return joined(first, second, ts > left.t)._replace(legs=legs)


def _way(flow: Flow, counts: Counts) -> Leg:
    """How a flow by `bdf`, which chooses, solves its equations."""
    problem, numerics = flow.problem, flow.numerics
    method, begin = numerics.build_solver(), float(np.asarray(flow.ts)[0])
    assert isinstance(method, BDF)
    told = way_of(problem, method, state_size(problem)).told
    return _leg(THEN, begin, None, counts, f"by {told}")


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


def demand_of(problem: FlowProblem, numerics: Numerics) -> Demand:
    """The steps that stability has to demand of what is left for the BDF to take it over."""
    effort = field_effort(problem)
    way = bdfs_way(problem, float(numerics.rtol), effort)
    least = FLOOR / effort
    decaying = isinstance(problem.data.loss, CrossEntropy)
    return Demand(
        early=np.float64(math.inf if decaying else max(EARLY * way, way + least)),
        late=np.float64(LATE * way + least),
        steps=np.int64(min(max(WAIT * way, FEWEST), MOST)),
    )


def bdfs_way(problem: FlowProblem, rtol: float, effort: float) -> float:
    """What the BDF takes from start to end, in steps of tsit5.

    A step of tsit5 is six evaluations, one of the BDF little more than one and linear algebra:
    cheap beside a field that is dear, and all there is if it is cheap.
    """
    factored = way_of(problem, BDF(), state_size(problem)).factored
    dear, cheap = FACTORED if factored else MULTIPLIED
    return STEPS * (1e-6 / rtol) ** (1 / ORDER) * (dear + cheap / (1 + effort / CHEAP))


@compiled(ONCE)
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
