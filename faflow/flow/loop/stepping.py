"""The step loop: diffrax's solvers and step-size controllers, stepped onto every save time.

diffrax's own solve interpolates at save times, stops at its own idea of a steady state and does not
say what happened on the way. Stepping its solvers by hand (its documented interface) lands on the
save times exactly and counts steps, field evaluations and kinks up to each of them.
"""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, PyTree, Scalar
from ...observables import KinkCount, KinkCounter
from ...solvers import (
    AbstractCountingSolver,
    Demand,
    StiffnessWatch,
    evaluations_per_step,
    keeps_last,
    norm,
    tells_stiffness,
    watch_stiffness,
    watched,
)
from ..problem import FlowProblem, Numerics, residual_share
from ..projection import projected
from .carry import (
    RUNNING,
    Carry,
    Counts,
    Held,
    Standing,
    added,
    either,
    heading_for,
    to_retry,
)
from .ends import handed_on, judge_step, why_stuck
from .flat import FlatProblem
from .moment import elapsed, nothing_lost, step_ahead, told_from
from .stops import Hunt, begin_hunt, gaps_at, verdict, watched_stops
from .tolerance import Pace, Tolerance, tolerance

Controller = diffrax.AbstractStepSizeController

LOOK = 5  # steps between looks for stiffness, until one speaks for it
CUT = 0.2  # what the controller does at most to a step, too


class Stepper(eqx.Module):
    """Advances one flow; holds what does not change on the way.

    `since`: where another solver left the flow, instead of its start. `demand`: a flow of which
    stability demands so many steps ends as STIFF; None: that is not watched.
    """

    problem: FlowProblem
    numerics: Numerics
    t0: Scalar
    t1: Scalar
    since: Standing | None = None
    demand: Demand | None = None

    def init(self) -> Carry:
        state = self.start()
        controller, solver = self.controller(self.tolerance.to_begin()), self._solver()
        lost = nothing_lost(self.begin, self.numerics)
        term, begin = told_from(self.flat.term, self.begin, lost)
        first, controller_state = controller.init(
            term, begin, self.t1 - (self.begin - begin), state, self.numerics.step, None,
            solver.func, solver.error_order(term),
        )  # fmt: skip
        first = jnp.asarray(first)
        solver_state = solver.init(term, begin, first, state, None)
        choice, start = 0 if self.numerics.step is not None else 2, int(keeps_last(solver))
        if isinstance(solver, AbstractCountingSolver):
            start = solver.evaluations(solver_state).astype(int)
        zero = jnp.zeros((), int)
        counts = Counts(zero, zero, zero + choice + start)
        return self.at_rest(state, first - begin, counts, solver_state, controller_state, lost)

    @property
    def flat(self) -> FlatProblem:
        return FlatProblem(self.problem)

    def start(self) -> Array:
        """The rule's state to begin with, in one vector."""
        return self.flat.first() if self.since is None else self.since.state

    @property
    def tolerance(self) -> Tolerance:
        return tolerance(self.problem, self.numerics, self.flat.first())

    @property
    def pace(self) -> Pace:
        """At the beginning."""
        return self.tolerance.at_rest() if self.since is None else self.since.pace

    @property
    def begin(self) -> Scalar:
        return self.t0 if self.since is None else self.since.t

    def at_rest(
        self,
        state: Array,
        dt: Scalar,
        counts: Counts,
        solver_state: PyTree,
        controller_state: PyTree = None,
        lost: Scalar | None = None,
    ) -> Carry:
        """Before the first step, of size dt; the flow has ended if it meets a stop there."""
        problem, peak = self.problem, jnp.zeros_like(self.t0)
        if self.since is not None:
            counts, peak = added(counts, self.since.counts), self.since.peak_speed
        hunt, peak = self._hunt(state, peak)
        outcome = jnp.asarray(RUNNING)
        if hunt is not None:
            outcome = verdict(outcome, self.numerics.stops, hunt.gaps)
        if self.numerics.stops.steady is not None:
            counts = counts._replace(evaluations=counts.evaluations + 1)
        return Carry(
            t=self.begin,
            dt=dt,
            state=state,
            size=norm(self._held(state)),
            solver_state=solver_state,
            controller_state=controller_state,
            made_jump=jnp.asarray(False),
            counts=counts,
            kinks=KinkCounter().init(problem.weights, problem.data) if self.flat.kinked else None,
            first_dt=dt,
            peak_speed=peak,
            outcome=outcome,
            pace=self.pace,
            broken=jnp.asarray(False),
            hunt=hunt,
            watch=None if self.demand is None else watch_stiffness(),
            lost=lost,
        )

    def hold(self, carry: Carry) -> Held:
        """What the steps from here to the next save go by."""
        return Held(self.tolerance_scale(carry), carry.size / self._held(carry.state).size ** 0.5)

    def _held(self, state: Array) -> Array:
        """What of a state a step is held to."""
        held = self.flat.held
        return state if held is None else state[:held]

    def controller(self, tolerances: tuple[Scalar, Scalar]) -> Controller:
        return self.numerics.controller(tolerances, self.flat.held)

    def advance(self, carry: Carry, held: Held, target: Scalar, limit: Integer | None) -> Carry:
        """Step until t = target, until an outcome is met, or until `limit` steps have been tried
        since the flow began (None: no limit)."""
        unfinished, tolerance = heading_for(target, limit), self.tolerance

        def body(now: Carry) -> Carry:
            tolerances = tolerance.at(now.state, now.pace, *held)
            controller, solver = self.controller(tolerances), self._solver(tolerances)
            later = self._step(now, target, controller, solver)
            step, change = elapsed(now, later), self._held(later.state) - self._held(now.state)
            pace = tolerance.moved(now.pace, change, step, step > 0)
            later = self.hunted(now, later._replace(pace=pace))
            return handed_on(judge_step(later, self.problem, self.numerics, self.t1), self.demand)

        return jax.lax.while_loop(unfinished, body, carry)

    def _step(self, now: Carry, target: Scalar, controller: Controller, solver: Any) -> Carry:
        if now.hunt is not None:
            target = jnp.minimum(target, now.hunt.bracket.aim())
        ahead = step_ahead(now.t, now.lost, now.dt, target)
        term, begin = told_from(self.flat.term, now.t, now.lost)
        end, cut = ahead.end, ahead.cut
        candidate, error, inside, solver_state, result = solver.step(
            term, begin, end, now.state, None, now.solver_state, now.made_jump
        )
        # A step that failed, or left the finite numbers, is a step too long: it is thrown away and
        # cut, and the controller, to whom nan would be poison, has not seen it. One pass over the
        # weights, which every step of a small field feels, tells: a sum is finite if its terms are.
        size, whole = norm(self._held(candidate)), norm(candidate)
        finite = jnp.isfinite(whole if error is None else whole + norm(error))
        failed = (result != diffrax.RESULTS.successful) | ~finite
        keep, _, later, made_jump, controller_state, _ = controller.adapt_step_size(
            begin, end, now.state, candidate, None, error, solver.error_order(term),
            now.controller_state,
        )  # fmt: skip
        keep = jnp.asarray(keep) & ~failed
        controller_state = either(failed, now.controller_state, controller_state)
        # From the step just tried; after one that was cut, at least the size that it was cut from.
        proposal = jnp.where(keep, later - end, later - begin)
        proposal = jnp.where(failed, CUT * (end - begin), proposal)
        if isinstance(solver, AbstractCountingSolver):
            paying = jnp.minimum(proposal, solver.longest_step(solver_state))
            proposal = jnp.where(keep, paying, proposal)
        dt = jnp.where(keep & cut, jnp.maximum(proposal, now.dt), proposal)
        outcome = now.outcome
        if self.numerics.step is not None:
            dt = self.numerics.step
            outcome = jnp.where(
                failed, why_stuck(now, finite, self.problem).astype(outcome.dtype), outcome
            )
        retry = to_retry(solver, now.solver_state, error, failed)
        state = either(keep, candidate, now.state)
        counts = Counts(
            now.counts.accepted + keep.astype(int),
            now.counts.rejected + (~keep).astype(int),
            now.counts.evaluations + self._cost(solver, now.solver_state, solver_state),
        )
        after = now._replace(
            t=jnp.where(keep, ahead.t, now.t),
            lost=either(keep, ahead.lost, now.lost),
            dt=dt,
            state=state,
            size=jnp.where(keep, size, now.size),
            solver_state=either(keep, solver_state, retry),
            controller_state=controller_state,
            made_jump=jnp.asarray(made_jump) & ~failed,
            counts=counts,
            kinks=self.kinks_after(now, state),
            outcome=outcome,
            broken=~finite,
        )
        return after._replace(watch=self._watched(after, solver, inside, end - begin, keep))

    def kinks_after(self, now: Carry, state: Array) -> KinkCount | None:
        if now.kinks is None:
            return None
        return KinkCounter().update(now.kinks, self.flat.weights_of(state), self.problem.data)

    def _solver(self, tolerances: tuple[Scalar, ...] = ()) -> diffrax.AbstractSolver:
        solver = self.numerics.build_solver(*tolerances)
        assert isinstance(solver, diffrax.AbstractSolver)  # multistep.py steps the others
        return projected(self.problem, solver) if self.numerics.project else solver

    def _watched(
        self, now: Carry, solver: Any, inside: PyTree, h: Scalar, keep: Flag
    ) -> StiffnessWatch | None:
        """`now`: after a step of size h."""
        watch, demand = now.watch, self.demand
        if watch is None or demand is None or not tells_stiffness(solver.tableau):
            return watch
        look = keep & ((watch.votes > 0) | (now.counts.accepted % LOOK == 1))
        return jax.lax.cond(
            look,
            lambda: watched(
                watch, solver.tableau, inside["k"], now.size, (self.t1 - now.t) / h, demand
            ),
            lambda: watch,
        )

    def _cost(self, solver: diffrax.AbstractSolver, before: PyTree, after: PyTree) -> Integer | int:
        """Field evaluations of the step just tried."""
        if isinstance(solver, AbstractCountingSolver):
            return (solver.evaluations(after) - solver.evaluations(before)).astype(int)
        return evaluations_per_step(solver) or 0

    def gaps(self, t: Scalar, state: Array, peak: Scalar) -> tuple[Array, Scalar]:
        """How far the flow is from its stops, and its largest speed so far, if that is watched."""
        stops, speed = self.numerics.stops, peak
        if stops.steady is not None:
            speed = norm(self.flat.term.vf(t, state, None))
            peak = jnp.maximum(peak, speed)
        return gaps_at(stops, self.problem.data, self.flat.weights_of(state), speed, peak), peak

    def _hunt(self, state: Array, peak: Scalar) -> tuple[Hunt | None, Scalar]:
        """Before the first step; and the largest speed so far."""
        if not watched_stops(self.numerics.stops):
            return None, peak
        gaps, peak = self.gaps(self.begin, state, peak)
        return begin_hunt(gaps, self.begin), peak

    def hunted(self, before: Carry, after: Carry) -> Carry:
        """After a step, or back where it began with a bracket to step into: a stop was passed."""
        hunt, stops = before.hunt, self.numerics.stops
        if hunt is None:
            return after
        gaps, peak = self.gaps(after.t, after.state, after.peak_speed)
        more = after.counts.evaluations + (0 if stops.steady is None else 1)
        counts = after.counts._replace(evaluations=more)
        gap, bracket, kept = jnp.min(gaps), hunt.bracket, elapsed(before, after) > 0
        after = after._replace(counts=counts, peak_speed=peak)
        if self.numerics.step is not None:
            return after._replace(hunt=Hunt(gaps, bracket))
        passed = kept & (gap <= 0) & (bracket.gap_low > 0) & ~bracket.found(after.t, gap)
        looked = bracket.moved(after.t, gap)
        after = after._replace(hunt=Hunt(gaps, either(kept, looked, bracket)))
        # The look cost a step, which is not kept.
        counts = counts._replace(accepted=before.counts.accepted, rejected=counts.rejected + 1)
        back = before._replace(counts=counts, hunt=Hunt(hunt.gaps, looked))
        return either(passed, back, after)

    def tolerance_scale(self, carry: Carry) -> Scalar | float:
        if not self.numerics.tail:
            return 1.0
        return residual_share(self.problem, self.flat.weights_of(carry.state))
