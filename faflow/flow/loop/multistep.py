"""The step loop of the BDF, which runs ahead of the saves (`ahead.py`)."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, Scalar
from ...rules import has_jacobian, rule_jacobian
from ...solvers import (
    BDF,
    Deflation,
    Field,
    History,
    Jacobian,
    NewtonTrial,
    adams,
    bdf,
    columns,
    deflation,
    factor,
    factored_solve,
    gmres_solve,
    try_step,
)
from ..problem import FlowProblem, Numerics
from .ahead import at_save, hunted, placed
from .carry import RUNNING, Carry, Counts, Held, ImplicitCounts, counted_trial, heading_for
from .deflating import Deflating
from .dense import AGE, Dense, nothing_yet
from .ends import judge_step
from .flat import call_term
from .preconditioner import KernelInverse, Preconditioner
from .stepping import Stepper
from .tolerance import Tolerance
from .ways import Way, way_of

MEMORY = 0.8  # share of the past in a running mean over steps
AFRESH = 0.2  # rate at which Newton corrections are taken to shrink with a new factor
FALL = 0.25  # how a step shrinks whose equation could not be solved


class Ahead(NamedTuple):
    """The solver's own place, at or beyond the save that is shown, and the outcome met there.

    `rate`: at which Newton corrections shrink. `strain`: products per linear system lately.
    `factors`: whether systems are solved by `dense`. `stale`: it has to be renewed first. `stop`:
    where a stop was met within the last step (inf: none was).
    """

    history: History
    rate: Scalar
    strain: Scalar
    factors: Flag
    stale: Flag
    outcome: Integer
    stop: Scalar
    dense: Dense | None
    kernel: KernelInverse | None
    deflation: Deflation | None = None


class MultistepStepper(eqx.Module):
    """Advances one flow by a BDF; what is not the method's own is `flow`'s."""

    flow: Stepper
    method: BDF

    def init(self) -> Carry:
        flow = self.flow
        y = flow.start()
        history, evaluations = self._begun(y)
        h, zero = history.h, jnp.zeros((), int)
        dense = None
        if self.method.may_be_dense(y.size):
            dense = nothing_yet(y.size, h)
        counts = Counts(zero, zero, zero + evaluations, ImplicitCounts(zero, zero, zero, zero))
        at_once = jnp.asarray(self.way.factored)
        one = jnp.ones_like(h)
        none = jnp.full_like(h, jnp.inf)
        kernel = None if self._preconditioner is None else self._preconditioner.nothing_yet(h)
        ahead = Ahead(history, one, 0 * one, at_once, at_once, zero + RUNNING, none, dense, kernel)
        if self.way.rank:
            ahead = ahead._replace(deflation=deflation.no_directions(self.way.rank, y))
        start = flow.at_rest(y, h, counts, ahead)
        return start._replace(solver_state=ahead._replace(outcome=start.outcome))

    def _begun(self, y: Array) -> tuple[History, int]:
        """The history to begin with, and the field evaluations it took."""
        flow = self.flow
        if flow.since is not None and flow.since.past is not None:
            return adams.as_bdf(flow.since.past), 0
        first, _ = flow.controller(flow.tolerance.to_begin()).init(
            flow.flat.term, flow.begin, flow.t1, y, None, None, call_term, 2
        )
        h = jnp.asarray(first) - flow.begin
        return bdf.first_history(flow.begin, y, self._field(flow.begin, y), h), 3

    def advance(self, carry: Carry, held: Held, target: Scalar, limit: Integer | None) -> Carry:
        """Step until t >= target, until an outcome is met or until `limit` steps were tried, and
        show the state at the target."""
        ahead: Ahead = carry.solver_state
        unfinished, tolerance = heading_for(target, limit), self.flow.tolerance

        def step(now: Carry, factors: bool) -> Carry:
            tolerances = tolerance.at(now.state, now.pace, *held)
            return self._step(now, tolerance, tolerances, factors)

        now = placed(carry, ahead, bdf.interpolate)._replace(outcome=ahead.outcome)

        def multiplies(now: Carry) -> Flag:
            return unfinished(now) & ~now.solver_state.factors

        def factors(now: Carry) -> Flag:
            return unfinished(now) & ~now.solver_state.stale

        def stretch(now: Carry) -> Carry:
            # A loop of its own, through which the matrices pass untouched.
            now = jax.lax.while_loop(factors, lambda now: step(now, True), now)
            return jax.lax.cond(unfinished(now), lambda x: self._refresh(x), lambda x: x, now)

        size = ahead.history.differences.shape[1]
        if not self.way.factored:
            made = self._preconditioner
            ready: Any = (lambda now: now) if made is None else made.prepared
            if ahead.deflation is not None:
                now = Deflating(self._field).stepped(now, multiplies, lambda now: step(now, False))
            else:
                now = jax.lax.while_loop(multiplies, lambda now: step(ready(now), False), now)
        if self.method.may_be_dense(size):
            now = jax.lax.while_loop(unfinished, stretch, now)
        return at_save(now, target, bdf.interpolate)

    def _step(
        self, now: Carry, tolerance: Tolerance, tolerances: tuple[Scalar, Scalar], factors: bool
    ) -> Carry:
        ahead: Ahead = now.solver_state
        history, grid = ahead.history, bdf.on_grid(ahead.history)
        dense = ahead.dense if factors else None
        trial = try_step(
            lambda t, y: self._field(t, y), history, grid,
            self._start(grid, dense, ahead), tolerances, ahead.rate,
        )  # fmt: skip
        # With an old Jacobian it is the Jacobian that is to blame, with a fresh one the step.
        outdated = jnp.asarray(False) if dense is None else dense.age > 0
        too_far = ~trial.solved & ~outdated
        tried = trial.history
        tried = tried._replace(factor=jnp.where(too_far, FALL * history.factor, tried.factor))
        ahead = ahead._replace(history=tried, rate=trial.rate)
        ahead = _strained(ahead, trial, self.method) if dense is None else self._aged(ahead, trial)
        counts, flow = counted_trial(now.counts, trial, too_far), self.flow
        later = placed(now, ahead, bdf.interpolate)._replace(
            solver_state=ahead,
            counts=counts,
            pace=tolerance.moved(now.pace, tried.differences[1], tried.h, trial.kept),
            broken=~trial.finite,
        )
        later = hunted(flow, now, later, trial.kept, bdf.interpolate)
        return judge_step(later, flow.problem, flow.numerics, flow.t1)

    def _start(self, grid: tuple[History, Array], dense: Dense | None, ahead: Ahead):
        """f at the predictor, and the solver of the corrector's equation."""
        history = grid[0]
        t = history.t + history.h
        predicted, _ = bdf.predict(*grid)
        _, c = bdf.next_step(history)
        if dense is not None:
            return self._field(t, predicted), factored_solve(dense.factor, c / dense.c)
        slope, push = jax.linearize(lambda y: self._field(t, y), predicted)
        if ahead.deflation is not None:
            return slope, gmres_solve(push, c, deflation.deflating(ahead.deflation, c))
        if ahead.kernel is None or self._preconditioner is None:
            return slope, gmres_solve(push, c)
        return slope, gmres_solve(push, c, self._preconditioner.of(ahead.kernel))

    @property
    def way(self) -> Way:
        return way_of(self.flow.problem, self.method, self.flow.start().size)

    @property
    def _preconditioner(self) -> Preconditioner | None:
        return Preconditioner(self.flow.flat) if self.way.preconditioned else None

    def _aged(self, ahead: Ahead, trial: NewtonTrial) -> Ahead:
        """One step on; `stale` if the Jacobian or its factor has to be renewed first."""
        assert ahead.dense is not None
        _, c = bdf.next_step(ahead.history)
        drifted = jnp.abs(c / ahead.dense.c - 1) > self.method.drift
        age = ahead.dense.age + trial.kept.astype(int)
        # Beyond AGE, _refresh takes a new Jacobian too.
        age = jnp.where(~trial.solved & (ahead.dense.age > 0), AGE + 1, age)
        return ahead._replace(stale=drifted | (age > AGE), dense=ahead.dense._replace(age=age))

    def _refresh(self, now: Carry) -> Carry:
        ahead: Ahead = now.solver_state
        assert ahead.dense is not None and now.counts.implicit is not None
        old = ahead.dense
        again = old.age > self.method.keep
        history = ahead.history

        def take() -> Array:
            return self._jacobian(history.t, history.differences[0])

        jacobian = jax.lax.cond(again, take, lambda: old.jacobian)
        dense = self._factored(jacobian, history, jnp.where(again, 0, old.age))
        counts = now.counts.implicit
        counts = counts._replace(
            jacobians=counts.jacobians + again.astype(int),
            factorisations=counts.factorisations + 1,
        )
        rate = jnp.full_like(ahead.rate, AFRESH)
        return now._replace(
            solver_state=ahead._replace(dense=dense, stale=jnp.asarray(False), rate=rate),
            counts=now.counts._replace(implicit=counts),
        )

    def _factored(self, jacobian: Array, history: History, age: Integer) -> Dense:
        _, c = bdf.next_step(history)
        return Dense(jacobian, factor(jacobian, c), c, age)

    def _field(self, t: Scalar, y: Array) -> Array:
        return self.flow.flat.term.vf(t, y, None)

    def _jacobian(self, t: Scalar, y: Array) -> Array:
        problem = self.flow.problem
        if has_jacobian(problem.rule, problem.weights):
            weights, feedback = self.flow.flat.read(y)
            return rule_jacobian(problem.rule, weights, feedback, problem.data)
        return columns(lambda t, y: self._field(t, y))(t, y)


def flat_field(problem: FlowProblem) -> tuple[Field, Jacobian, Array]:
    """(f, J, y): the field of the rule's state as one vector, its dense Jacobian, and the start."""
    numerics, now = Numerics(solver="bdf-dense"), jnp.zeros(())
    flow = Stepper(problem, numerics, now, now)
    stepper = MultistepStepper(flow, BDF("dense"))
    return lambda t, y: stepper._field(t, y), lambda t, y: stepper._jacobian(t, y), flow.start()


def _strained(ahead: Ahead, trial: NewtonTrial, method: BDF) -> Ahead:
    """Remembers how hard GMRES has to work; too hard, and the next step has to be factored."""
    effort = (trial.products / trial.iterations).astype(ahead.strain.dtype)
    if ahead.deflation is not None:
        ahead = ahead._replace(deflation=deflation.after_systems(ahead.deflation, effort))
    strain = MEMORY * ahead.strain + (1 - MEMORY) * effort
    if ahead.kernel is not None:
        age = ahead.kernel.age + trial.kept.astype(int)
        ahead = ahead._replace(kernel=ahead.kernel._replace(age=age))
    if ahead.dense is None:
        return ahead._replace(strain=strain)
    over = strain > method.strained
    return ahead._replace(strain=strain, factors=over, stale=over)
