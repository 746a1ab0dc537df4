"""The step loop of Adams' methods, which run ahead of the saves (`ahead.py`)."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Integer, Scalar
from ...solvers import AdamsTrial, Past, StiffnessWatch, adams, voted
from .ahead import at_save, hunted, placed
from .carry import RUNNING, Carry, Counts, Held, either, heading_for
from .ends import handed_on, judge_step
from .flat import call_term
from .stepping import Stepper
from .tolerance import Tolerance


class AheadByAdams(NamedTuple):
    """The solver's own place, at or beyond the save that is shown, and the outcome met there;
    `stop`: where a stop was met within the last step (inf: none was)."""

    history: Past
    outcome: Integer
    stop: Scalar


class AdamsStepper(eqx.Module):
    """Advances one flow by Adams' methods; what is not the method's own is `flow`'s."""

    flow: Stepper

    def init(self) -> Carry:
        flow = self.flow
        y = flow.start()
        first, _ = flow.controller(flow.tolerance.to_begin()).init(
            flow.flat.term, flow.begin, flow.t1, y, None, None, call_term, 2
        )
        h = jnp.asarray(first) - flow.begin
        past = adams.first_past(flow.begin, y, self._field(flow.begin, y), h)
        zero = jnp.zeros((), int)
        ahead = AheadByAdams(past, zero + RUNNING, jnp.full_like(h, jnp.inf))
        start = flow.at_rest(y, h, Counts(zero, zero, zero + 3), ahead)
        return start._replace(solver_state=ahead._replace(outcome=start.outcome))

    def advance(self, carry: Carry, held: Held, target: Scalar, limit: Integer | None) -> Carry:
        """Step until t >= target, until an outcome is met or until `limit` steps were tried, and
        show the state at the target."""
        ahead: AheadByAdams = carry.solver_state
        tolerance, part = self.flow.tolerance, self.flow.flat.held
        now = placed(carry, ahead, adams.read_off, part)._replace(outcome=ahead.outcome)
        end = jax.lax.while_loop(
            heading_for(target, limit), lambda now: self._step(now, tolerance, held), now
        )
        return at_save(end, target, adams.read_off, part)

    def _step(self, now: Carry, tolerance: Tolerance, held: Held) -> Carry:
        flow, ahead = self.flow, now.solver_state
        part = flow.flat.held
        tolerances = tolerance.at(now.state, now.pace, *held)
        trial = adams.pece_step(
            lambda t, y: self._field(t, y), ahead.history, tolerances, part
        )  # fmt: skip
        after = ahead._replace(history=trial.past)
        later = placed(now, after, adams.read_off, part)
        # Of the state, where the history was: with that read here, XLA would copy it all.
        change = (later.state - now.state)[:part]
        kept = trial.kept.astype(int)
        later = later._replace(
            solver_state=after,
            counts=Counts(
                now.counts.accepted + kept,
                now.counts.rejected + 1 - kept,
                now.counts.evaluations + trial.evaluations,
            ),
            kinks=flow.kinks_after(now, trial.past.differences[0]),
            pace=tolerance.moved(now.pace, change, trial.past.h, trial.kept),
            broken=~trial.finite,
            watch=self._watched(now, trial),
        )
        later = hunted(flow, now, later, trial.kept, adams.read_off, part)
        return handed_on(judge_step(later, flow.problem, flow.numerics, flow.t1), flow.demand)

    def _watched(self, now: Carry, trial: AdamsTrial) -> StiffnessWatch | None:
        """What stability will demand is counted in the longest steps that any order allows."""
        watch, demand, past = now.watch, self.flow.demand, trial.past
        if watch is None or demand is None:
            return watch
        fast = past.h * past.rate
        share = fast / jnp.asarray(adams.REAL, fast.dtype)[past.order - 1]
        demanded = past.rate * (self.flow.t1 - past.t) / max(adams.REAL)
        return either(trial.kept, voted(watch, share, demanded, demand), watch)

    def _field(self, t: Scalar, y: Array) -> Array:
        return self.flow.flat.term.vf(t, y, None)
