"""The march of an exact flow: Runge-Kutta steps inside a mode, events between modes.

One loop, and in each of its rounds one look at the field at one point in one mode: the end of a
trial step, a place inside it where an event is sought, or the place of an event in a mode that
might go on from there. What the look was for is the `phase`; what it showed decides the next.
"""

from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from ..._results import Outcome
from ..._types import Array, Flag, Scalar
from ..problem import Numerics
from .decide import (
    PIVOTS,
    begin,
    disagreeing,
    doubtful,
    move,
    same_mode,
    second_opinion,
    start_chatter,
    stroke,
)
from .field import Field, Motion
from .land import EARLIEST, LATEST, judge_look, place
from .mode import Mode, spread
from .runge_kutta import Tableau
from .screen import Crossing, cubics, first_crossing, margin, next_crossing
from .settle import settle
from .start import start
from .state import CHATTER, LOOK, PIVOT, STEP, State, here_of
from .watch import RUNNING, judge

AT_END = 1e-12  # a sliding pair this close to its bounds is there
REACH = 1.02  # a trial step ends this much beyond the first crossing, if all pairs kept their speed
TINY = 1e-6  # of the step that the error allows: as good as no time
STUCK = 1e-14  # of the step that the error allows: a violation sooner than that is one on the spot


class Look(NamedTuple):
    """A look at the field: where, in which mode, what it showed; `partial`: the step's error but
    for its last stage; `dt`, `last`: the trial step, and whether it ends at the target."""

    point: Array
    mode: Mode
    motion: Motion
    partial: Array
    dt: Scalar
    last: Flag
    slack: Scalar


class Verdict(NamedTuple):
    """`stands`: the flow has moved to `flat` at time `t`; `settled`: a mode has been decided."""

    state: State
    stands: Flag
    settled: Flag
    flat: Array
    t: Scalar


class March(eqx.Module):
    """Advances one exact flow."""

    field: Field
    numerics: Numerics
    t0: Scalar
    t1: Scalar
    table: Tableau = eqx.field(static=True)
    meter: diffrax.AbstractProgressMeter = eqx.field(static=True)

    def init(self) -> State:
        """The state at t0, the mode there still to be decided."""
        fresh = start(self.field, self.numerics, self.t0, self.t1, self.meter.init())
        nobody = jnp.zeros_like(fresh.here.near)
        return self._begin(fresh, nobody, nobody)

    def advance(self, state: State, target: Scalar, scale: Scalar) -> State:
        """Look after look until t = target or until an outcome is met; tolerances times `scale`."""

        def unfinished(now: State) -> Flag:
            return ((now.t < target) | (now.phase != STEP)) & (now.outcome == RUNNING)

        return jax.lax.while_loop(unfinished, lambda now: self._round(now, target, scale), state)

    def _round(self, now: State, target: Scalar, scale: Scalar) -> State:
        look = self._look(now, target)
        follow = (self._after_step, self._after_look, self._after_pivot, self._after_stroke)
        verdict = jax.lax.switch(
            now.phase, [lambda n, l, f=f: f(n, l, target, scale) for f in follow], now, look
        )
        state = verdict.state

        def arrive(_) -> State:
            return self._arrive(now, verdict, look.motion)

        def decided(_) -> State:
            return settle(self.field, now, state, look.motion)

        state = jax.lax.cond(verdict.stands, arrive, lambda _: state, None)
        state = jax.lax.cond(verdict.settled, decided, lambda _: state, None)
        return judge(state, self.field, self.numerics, verdict.stands)

    def _look(self, now: State, target: Scalar) -> Look:
        here = now.here
        ahead, _ = next_crossing(now.mode.above, here.h, here.speed, ~(now.mode.sliding | here.near))
        wanted = jnp.where(now.cap < jnp.inf, now.cap, jnp.minimum(now.dt, REACH * ahead))
        last = now.t + 1.0001 * wanted >= target
        dt = jnp.where(last, target - now.t, wanted)
        none = jnp.zeros_like(here.flat)

        def step(_):
            return self.field.stages(self.table, here.flat, here.velocity, now.mode, dt)

        def seek(_):
            return place(here, now.trial), none

        def stand(_):
            return here.flat, none

        which = jnp.minimum(now.phase, PIVOT)
        point, partial = jax.lax.switch(which, [step, seek, stand], None)
        deciding = now.phase >= PIVOT
        mode = jax.tree.map(lambda a, b: jnp.where(deciding, a, b), now.plan.guess, now.mode)
        motion = self.field.motion(point, mode)
        least = jnp.clip(0.01 * jnp.sqrt(self.numerics.rtol), 1e-9, 1e-5)
        slack = jnp.minimum(jnp.maximum(least, 50 * motion.noise), 1e-2)
        return Look(point, mode, motion, partial, dt, last, slack)

    def _error_scale(self, start: Array, end: Array, scale: Scalar) -> Array:
        """The local error allowed in each weight; no weight is asked for more than rounding."""
        most, size = jnp.maximum(jnp.abs(start), jnp.abs(end)), jnp.maximum(_rms(start), _rms(end))
        rounding = 16 * jnp.finfo(start.dtype).eps
        atol = jnp.maximum(self.numerics.atol * scale, rounding * size)
        rtol = jnp.maximum(self.numerics.rtol * scale, rounding)
        return atol + rtol * jnp.maximum(most, 1e-3 * size)

    def _after_step(self, now: State, look: Look, target: Scalar, scale: Scalar) -> Verdict:
        here, mode, motion, dt = now.here, now.mode, look.motion, look.dt
        error = look.partial + dt * self.table.error[-1] * motion.velocity
        allowed = self._error_scale(here.flat, look.point, scale)
        ratio = jnp.sqrt(jnp.mean((error / allowed) ** 2))
        ratio = jnp.where(jnp.isnan(ratio), jnp.inf, ratio)
        fine, watched = ratio <= 1, ~mode.sliding
        curves = cubics(mode.above, here.h, here.speed, motion.h, motion.speed, dt)
        cross = first_crossing(curves, motion.rounding, watched & fine)
        start, end = margin(here.low, here.high), margin(motion.low, motion.high)
        exits = fine & (end < -look.slack)
        # A pair that will cross just beyond the end is reached from here as well.
        ahead, coming = next_crossing(
            mode.above, motion.h, motion.speed, watched & (jnp.abs(motion.h) > motion.rounding)
        )
        here_already = jnp.any(_arriving(mode, motion))
        theta = jnp.where(cross.found, cross.theta, 1 + jnp.where(here_already, jnp.inf, ahead) / dt)
        exit_at = (jnp.maximum(start, 0) + look.slack / 2) / (jnp.maximum(start, 0) - end)
        by_gate = exits & (exit_at < theta)
        theta = jnp.where(by_gate, exit_at, theta)
        violated = cross.found | exits
        seek = fine & (theta > EARLIEST) & (theta < LATEST) & (theta * dt < target - now.t)
        # A gate that jumps out of its bounds (surfaces that part or meet) is taken as it is.
        jumps = by_gate & (dt <= TINY * now.dt)
        seek, violated = seek & ~jumps, violated & ~jumps
        accept = fine & ~violated & ~seek
        stuck = violated & (theta * dt <= STUCK * now.dt)
        factor = jnp.clip(0.9 * ratio ** (-1 / self.table.order), 0.2, 5.0)
        factor = jnp.where(jnp.isfinite(ratio), factor, 0.2)
        # A cut step says little about longer ones: its size may raise the proposal, not lower it.
        proposal = jnp.where(fine, jnp.maximum(now.dt, dt * factor), dt * factor)
        proposal = jnp.where(fine & (dt >= now.dt), dt * factor, proposal)
        retry = violated & ~seek
        pair = jnp.where(by_gate, -1, jnp.where(cross.found, cross.pair, coming))
        later = now._replace(
            dt=proposal,
            cap=jnp.where(retry & fine, theta * dt, jnp.inf),
            phase=jnp.where(seek, LOOK, STEP).astype(now.phase.dtype),
            counts=now.counts._replace(
                rejected=now.counts.rejected + _int(~fine),
                evaluations=now.counts.evaluations + len(self.table.weights) - 1,
            ),
            events=now.events._replace(retried=now.events.retried + _int(retry)),
        )
        trial = now.trial._replace(
            end=look.point, velocity=motion.velocity, dt=dt, theta=theta,
            pair=pair.astype(now.trial.pair.dtype), correction=jnp.zeros_like(look.point),
            last_theta=jnp.ones_like(theta), last_margin=end, looks=jnp.zeros_like(now.trial.looks),
        )  # fmt: skip
        later = later._replace(
            trial=jax.tree.map(lambda a, b: jnp.where(seek, a, b), trial, now.trial)
        )
        later = jax.lax.cond(
            stuck, lambda _: self._unstick(later, cross, motion), lambda _: later, None
        )
        t = jnp.where(look.last, target, now.t + dt)
        return Verdict(later, accept, jnp.asarray(False), look.point, t)

    def _unstick(self, now: State, cross: Crossing, motion: Motion) -> State:
        """A violation where the flow stands: whoever is outside at the end of the trial decides."""
        sign = jnp.where(now.mode.above, 1.0, -1.0)
        outside = (sign * motion.h < -motion.rounding) & now.here.near & ~now.mode.sliding
        outside = outside.at[cross.pair].set(outside[cross.pair] | cross.found)
        leaves = spread(now.mode, jnp.minimum(now.here.low, now.here.high), 0.5) <= 0
        return self._begin(now, outside, leaves)

    def _after_look(self, now: State, look: Look, target: Scalar, scale: Scalar) -> Verdict:
        del target
        trial, here = now.trial, now.here
        allowed = self._error_scale(here.flat, trial.end, scale)
        landing = judge_look(here, trial, now.mode, look.motion, look.slack, allowed)
        later = now._replace(
            trial=landing.trial,
            phase=jnp.where(landing.failed | landing.landed, STEP, LOOK).astype(now.phase.dtype),
            cap=jnp.where(landing.failed, trial.theta * trial.dt, now.cap),
            counts=now.counts._replace(evaluations=now.counts.evaluations + 1),
            events=now.events._replace(retried=now.events.retried + _int(landing.failed)),
        )
        t = now.t + trial.theta * trial.dt
        return Verdict(later, landing.landed, jnp.asarray(False), look.point, t)

    def _arrive(self, before: State, verdict: Verdict, motion: Motion) -> State:
        """Stand at the new place; decide who goes where if an event has brought us there."""
        state, mode = verdict.state, before.mode
        state = state._replace(
            t=verdict.t,
            here=here_of(verdict.flat + motion.correction, motion),
            moved=before.moved + (verdict.t - before.t),
            cap=jnp.full_like(state.cap, jnp.inf),
            counts=state.counts._replace(accepted=state.counts.accepted + 1),
            meter=self.meter.step(state.meter, (verdict.t - self.t0) / (self.t1 - self.t0)),
        )
        arrives = _arriving(mode, motion)
        leaves = spread(mode, jnp.minimum(motion.low, motion.high), 0.5) <= AT_END
        return jax.lax.cond(
            jnp.any(arrives | leaves),
            lambda _: self._begin(state, arrives, leaves),
            lambda _: state,
            None,
        )

    def _begin(self, state: State, arrives: Array, leaves: Array) -> State:
        return begin(state, arrives, leaves, self._fix(state))

    def _fix(self, state: State):
        return lambda above, sliding: self.field.settled(state.here.flat, above, sliding)

    def _after_pivot(self, now: State, look: Look, target: Scalar, scale: Scalar) -> Verdict:
        del target, scale
        plan, motion = now.plan, look.motion
        beside = self.field.beside(plan.guess.sliding)
        wrong = disagreeing(plan, now.mode, motion, look.slack, beside)
        solved, lost = ~jnp.any(wrong), plan.rounds >= PIVOTS
        room = plan.guess.held <= plan.guess.slots.size
        doubted = doubtful(plan, now.mode, now.here, motion)
        asks = solved & (plan.opinion == 0) & jnp.any(doubted)
        twofold = solved & (plan.opinion == 1) & ~same_mode(plan.guess, plan.first, plan.dead)
        alone = ~solved & lost & (plan.opinion == 1)
        back = (twofold & (self.numerics.exact.branch != "other")) | alone
        key = jax.random.fold_in(jax.random.key(0), now.events.events)
        fix = self._fix(now)

        def pivot(_):
            return move(plan, motion, wrong, beside, key, fix)

        def ask(_):
            return second_opinion(plan, motion, doubted, fix)

        def chatter(_):
            return start_chatter(plan, motion)

        def return_to_first(_):
            return plan._replace(guess=plan.first, opinion=plan.opinion + 1)

        def keep(_):
            return plan

        hopeless = ~solved & lost & plan.chattered & (plan.opinion != 1)
        # Whoever goes back to the first mode found it consistent before.
        accepted = (solved & ~asks & ~back) | (plan.opinion == 2)
        # Gates above a dead layer count only where signals come down through them.
        open_gate = accepted & (plan.torn >= 0) & (self.field.problem.rule.form != "direct")
        forked = twofold | open_gate
        asks_rule = ~solved & lost & ~hopeless & ~alone
        choice = jnp.select(
            [accepted | hopeless | ~room, asks, back, asks_rule], [4, 1, 3, 2], 0
        )  # fmt: skip
        following = jax.lax.switch(choice, [pivot, ask, chatter, return_to_first, keep], None)
        outcome = now.outcome

        def rule(condition, value: Outcome):
            return jnp.where(condition, jnp.asarray(value.value, outcome.dtype), outcome)

        outcome = rule(hopeless, Outcome.NO_CONTINUATION)
        outcome = rule(~room, Outcome.SLIDING_OVERFLOW)
        new_fork = forked & (now.events.forks == 0)
        if self.numerics.exact.branch == "stop":
            outcome = rule(forked, Outcome.NOT_UNIQUE)
        place = jnp.argmax(plan.doubted).astype(now.fork_pair.dtype)
        place = jnp.where(twofold, place, plan.torn)
        later = now._replace(
            plan=following,
            phase=jnp.where(choice == 2, CHATTER, now.phase).astype(now.phase.dtype),
            counts=now.counts._replace(evaluations=now.counts.evaluations + 1),
            events=now.events._replace(
                pivots=now.events.pivots + 1, forks=now.events.forks + _int(forked)
            ),
            outcome=outcome,
            fork_time=jnp.where(new_fork, now.t, now.fork_time),
            fork_pair=jnp.where(new_fork, place, now.fork_pair),
        )
        return Verdict(later, jnp.asarray(False), accepted & room, now.here.flat, now.t)

    def _after_stroke(self, now: State, look: Look, target: Scalar, scale: Scalar) -> Verdict:
        del target, scale
        plan, over = stroke(now.plan, look.motion)
        later = now._replace(
            plan=plan,
            phase=jnp.where(over, PIVOT, CHATTER).astype(now.phase.dtype),
            counts=now.counts._replace(evaluations=now.counts.evaluations + 1),
            events=now.events._replace(pivots=now.events.pivots + 1),
        )
        no = jnp.asarray(False)
        return Verdict(later, no, no, now.here.flat, now.t)

    def sliding(self, state: State) -> tuple[Array, Array, Array]:
        """Sliding pairs per layer, the pairs in the slots (-1: none) and their gates."""
        counts = jnp.stack([jnp.sum(part) for part in self.field.layout.split(state.mode.sliding)])
        used = state.mode.slots < self.field.layout.pairs
        pairs = jnp.where(used, state.mode.slots, -1)
        low, high = state.here.low, state.here.high
        return counts, pairs, jnp.where(used, low / (low + high), jnp.nan)


def _arriving(mode: Mode, motion: Motion) -> Array:
    """Pairs that stand on the surface and are about to cross it."""
    inward = jnp.where(mode.above, motion.speed, -motion.speed)
    return (jnp.abs(motion.h) <= motion.rounding) & (inward < 0) & ~mode.sliding


def _int(flag: Flag) -> Array:
    return flag.astype(jnp.int32)


def _rms(flat: Array) -> Scalar:
    return jnp.sqrt(jnp.mean(flat**2))

