"""What a flow carries from one step to the next, and what it leaves to another solver."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, PyTree, Scalar
from ...observables import KinkCount
from ...solvers import AbstractCountingSolver, NewtonTrial, Past, StiffnessWatch
from .stops import Hunt
from .tolerance import Pace

RUNNING = -1
STIFF = -2  # ended here for another solver to go on


class ImplicitCounts(NamedTuple):
    """What a method with a Jacobian did besides: Newton iterations, products with the Jacobian,
    dense Jacobians and their factorisations."""

    iterations: Integer
    products: Integer
    jacobians: Integer
    factorisations: Integer


class Counts(NamedTuple):
    """Work done so far; `evaluations` of the field count the solver's, the first step's choice and
    the steady-state watch (0 where the solver can't say: implicit Runge-Kutta methods).
    `implicit`: of multistep methods only."""

    accepted: Integer
    rejected: Integer
    evaluations: Integer
    implicit: ImplicitCounts | None = None


class Carry(NamedTuple):
    """Everything a flow needs to go on from time t. `state`: the leaves of the rule's state in one
    vector, whose entries a step combines at once; `size`: its norm. `broken`: the last step tried
    left the finite numbers. `hunt`: for a stop, if one is watched. `lost`: see `moment`."""

    t: Scalar
    dt: Scalar
    state: Array
    size: Scalar
    solver_state: PyTree
    controller_state: PyTree
    made_jump: Flag
    counts: Counts
    kinks: KinkCount | None
    first_dt: Scalar
    peak_speed: Scalar
    outcome: Integer
    pace: Pace
    broken: Flag
    hunt: Hunt | None = None
    watch: StiffnessWatch | None = None
    lost: Scalar | None = None


class Held(NamedTuple):
    """What all steps between two saves go by: the factor of the tolerances, and the root mean
    square of the state, both at the save before."""

    share: Scalar | float
    size: Scalar


class Standing(NamedTuple):
    """Where a flow stands, in terms that every solver understands: enough to go on from there.
    `demanded`: the steps from here to the end that stability would demand of the last solver, if it
    was watched; `past`: of Adams' methods then."""

    t: Scalar
    state: Array
    peak_speed: Scalar
    pace: Pace
    counts: Counts
    demanded: Scalar | None
    past: Past | None = None


def standing(carry: Carry) -> Standing:
    demanded = None if carry.watch is None else carry.watch.demanded
    past = getattr(carry.solver_state, "history", None)
    known = past if carry.watch is not None and isinstance(past, Past) else None
    return Standing(
        carry.t, carry.state, carry.peak_speed, carry.pace, carry.counts, demanded, known
    )  # fmt: skip


def steps_of(counts: Counts) -> Integer:
    """Steps tried."""
    return counts.accepted + counts.rejected


def heading_for(target: Scalar, limit: Integer | None) -> Callable[[Carry], Flag]:
    """Whether a flow has steps to take on its way to `target`, with `limit` steps in all."""

    def unfinished(now: Carry) -> Flag:
        on_the_way = (now.t < target) & (now.outcome == RUNNING)
        return on_the_way if limit is None else on_the_way & (steps_of(now.counts) < limit)

    return unfinished


def added(counts: Counts, before: Counts) -> Counts:
    return counts._replace(
        accepted=counts.accepted + before.accepted,
        rejected=counts.rejected + before.rejected,
        evaluations=counts.evaluations + before.evaluations,
    )


def to_retry(
    solver: diffrax.AbstractSolver, before: PyTree, error: Array | None, failed: Flag
) -> PyTree:
    """The solver's state to try a shorter step with; the error of a failed step is infinite."""
    if not isinstance(solver, AbstractCountingSolver):
        return before
    return solver.after_rejection(
        before, None if error is None else jnp.where(failed, jnp.inf, error)
    )


def either(condition: Flag, yes: PyTree, no: PyTree) -> PyTree:
    """Leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def counted_trial(counts: Counts, trial: NewtonTrial, too_far: Flag) -> Counts:
    """With what a step of an implicit method took."""
    assert counts.implicit is not None
    rejected = too_far | (trial.solved & ~trial.kept)
    return Counts(
        counts.accepted + trial.kept.astype(int),
        counts.rejected + rejected.astype(int),
        counts.evaluations + trial.iterations,
        counts.implicit._replace(
            iterations=counts.implicit.iterations + trial.iterations,
            products=counts.implicit.products + trial.products,
        ),
    )
