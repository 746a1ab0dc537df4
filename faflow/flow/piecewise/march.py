"""The march of an exact flow: Runge-Kutta steps inside a mode, events between modes."""

from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from ..._results import Outcome
from ..._types import Array, Flag, Integer, Scalar
from ..events import EventCounts
from ..problem import Numerics
from ..stepping import Counts
from .decide import Decision, decide, make_mode, on_slots
from .field import Field, Mode, Motion
from .land import EARLIEST, LATEST, land, no_landing
from .runge_kutta import Tableau, error_of, hermite, inner_stages
from .screen import GATE_SLACK, cubics, first_crossing, first_exit, hold_margin, next_crossing

RUNNING = -1
STALLED = 500  # events in a row that move time by less than STALL of the step the field allows
STALL = 1e-9
AT_END = 1e-12  # a gate this close to 0 or 1 is there
REACH = 1.02  # a trial step ends this much beyond the first crossing, if all pairs kept their speed


class Log(NamedTuple):
    """The first events: time, pair and what it became (-1 below, 0 sliding, 1 above)."""

    time: Array
    pair: Array
    became: Array
    written: Integer


class State(NamedTuple):
    """All that an exact flow needs to go on. `dt`: the step the error allows; `limit`: the next
    trial step, cut at a root (inf: none); `pending`: the mode is to be decided before the next
    step, `forced`: pairs that leave it at once; `moved`: time since the last decision or step."""

    t: Scalar
    dt: Scalar
    limit: Scalar
    flat: Array
    mode: Mode
    motion: Motion
    pending: Flag
    forced: Array
    moved: Scalar
    counts: Counts
    events: EventCounts
    fork_time: Scalar
    fork_pair: Integer
    meter: object
    stalled: Integer
    outcome: Integer
    log: Log


class Trial(NamedTuple):
    """A step tried: where it ended (before the surface, if it landed there), the error as a
    multiple of what is allowed, the theta of its end or of the first violation."""

    flat: Array
    motion: Motion
    ratio: Scalar
    event_at: Scalar
    violated: Flag
    extra: Integer


class March(eqx.Module):
    """Advances one exact flow."""

    field: Field
    numerics: Numerics
    table: Tableau = eqx.field(static=True)
    t0: Scalar
    t1: Scalar
    meter: diffrax.AbstractProgressMeter = eqx.field(static=True)

    @property
    def key(self) -> Array:
        return jax.random.key(0)

    @property
    def logged(self) -> int:
        return self.numerics.exact.events

    def sliding(self, state: State):
        """Sliding pairs per layer, the pairs in the slots and their gates."""
        counts = jnp.stack([jnp.sum(part) for part in self.field.layout.split(state.mode.sliding)])
        used = state.mode.slots < self.field.layout.pairs
        return counts, jnp.where(used, state.mode.slots, -1), jnp.where(used, state.motion.gate, jnp.nan)

    def init(self) -> State:
        t0, span = self.t0, self.t1 - self.t0
        field = self.field
        flat, pairs = field.flat(field.problem.weights), field.layout.pairs
        none = jnp.zeros(pairs, bool)
        mode = make_mode(field, none, none)

        def settle(_, mode: Mode) -> Mode:
            return mode._replace(above=field.motion_at_rest(flat, mode).h > 0)

        # The gates decide a_l and with it h_{l+1}: settle the layers from below.
        mode = jax.lax.fori_loop(0, len(field.layout.hidden), settle, mode)
        motion = field.motion_at_rest(flat, mode)
        dt = 0.01 * _rms(flat) / _rms(motion.velocity)
        dt = jnp.where(jnp.isfinite(dt) & (dt > 0), jnp.minimum(dt, span), span)
        zero = jnp.zeros((), jnp.int32)
        counts = Counts(zero, zero, zero + 1)
        events = EventCounts(*([zero] * 8))
        size = max(self.logged, 1)
        log = Log(jnp.full(size, jnp.nan), jnp.zeros(size, jnp.int32), jnp.zeros(size, jnp.int8), zero)
        yes, inf = jnp.asarray(True), jnp.asarray(jnp.inf)
        return State(
            t0, dt, inf, flat, mode, motion, yes, none, dt, counts, events, inf * jnp.nan,
            zero + pairs, self.meter.init(), zero, zero + RUNNING, log,
        )

    def advance(self, state: State, target: Scalar) -> State:
        """Trial steps and decisions until t = target or until an outcome is met."""

        def unfinished(now: State) -> Flag:
            return ((now.t < target) | now.pending) & (now.outcome == RUNNING)

        def body(now: State) -> State:
            return jax.lax.cond(
                now.pending, lambda s: self._decide(s), lambda s: self._step(s, target), now
            )

        return jax.lax.while_loop(unfinished, body, state)

    def _step(self, now: State, target: Scalar) -> State:
        watched = ~now.mode.sliding
        ahead, _ = next_crossing(
            now.mode.above, now.motion.h, now.motion.speed, now.motion.rounding, watched
        )
        wanted = jnp.minimum(jnp.minimum(now.dt, now.limit), REACH * ahead)
        last = now.t + 1.0001 * wanted >= target
        dt = jnp.where(last, target - now.t, wanted)
        trial = self._try(now, dt, target - now.t)
        too_far = ~(trial.ratio <= 1)
        accept = ~too_far & ~trial.violated
        factor = jnp.clip(0.9 * trial.ratio ** (-1 / self.table.order), 0.2, 5.0)
        factor = jnp.where(jnp.isfinite(trial.ratio), factor, 0.2)
        # A cut step says little about longer ones: its size may raise the proposal, not lower it.
        allowed = jnp.where(too_far, dt * factor, jnp.maximum(now.dt, dt * factor))
        allowed = jnp.where(accept & (dt >= now.dt), dt * factor, allowed)
        limit = jnp.where(trial.violated & ~too_far, trial.event_at * dt, jnp.inf)
        counts = now.counts._replace(
            accepted=now.counts.accepted + _int(accept),
            rejected=now.counts.rejected + _int(too_far),
            evaluations=now.counts.evaluations + len(self.table.weights) - 1 + trial.extra,
        )
        # A violation that is there at once is an event where we stand.
        stuck = trial.violated & ~too_far & (trial.event_at * dt <= 1e-14 * now.dt)
        end = jnp.where(last & (trial.event_at == 1), target, now.t + trial.event_at * dt)
        events = now.events._replace(
            retried=now.events.retried + _int(trial.violated & ~too_far)
        )
        flat, motion = _where(accept, (trial.flat, trial.motion), (now.flat, now.motion))
        forced = jnp.where(stuck, self._offenders(now, trial), False)
        later = now._replace(
            t=jnp.where(accept, end, now.t), dt=allowed, limit=limit, flat=flat, motion=motion,
            counts=counts, events=events, forced=forced, moved=jnp.where(accept, trial.event_at * dt, 0.0),
        )  # fmt: skip
        arrives, leaves = self._leaving(later)
        pending = (accept | stuck) & (jnp.any(arrives) | jnp.any(leaves))
        return self._judge(later._replace(pending=pending))

    def _offenders(self, now: State, trial: Trial) -> Array:
        sign = jnp.where(now.mode.above, 1.0, -1.0)
        outside = sign * trial.motion.h < -trial.motion.rounding
        near = jnp.abs(now.motion.h) <= 4 * now.motion.rounding
        return outside & near & ~now.mode.sliding

    def _try(self, now: State, dt: Scalar, room: Scalar) -> Trial:
        field, mode, start = self.field, now.mode, now.motion
        end, ks = inner_stages(
            self.table, lambda flat: field.velocity(flat, mode), now.flat, start.velocity, dt
        )
        motion = field.motion(end, mode)
        error = error_of(self.table, ks, motion.velocity, dt)
        size = jnp.maximum(_rms(now.flat), _rms(end))
        most = jnp.maximum(jnp.abs(now.flat), jnp.abs(end))
        scale = self.numerics.atol + self.numerics.rtol * jnp.maximum(most, 1e-3 * size)
        ratio = jnp.sqrt(jnp.mean((error / scale) ** 2))
        ratio = jnp.where(jnp.isnan(ratio), jnp.inf, ratio)
        fine, watched = ratio <= 1, ~mode.sliding
        curves = cubics(mode.above, start.h, start.speed, motion.h, motion.speed, dt)
        cross = first_crossing(curves, motion.rounding, watched)
        margin = hold_margin(motion.gate, motion.pull)
        exits = margin < -GATE_SLACK
        ends = (now.flat, start.velocity, end, motion.velocity)

        def margin_at(theta):
            there = field.motion(hermite(*ends, dt, theta), mode)
            return hold_margin(there.gate, there.pull)

        exit_at = jax.lax.cond(
            exits & fine,
            lambda _: first_exit(margin_at, hold_margin(start.gate, start.pull), margin),
            lambda _: jnp.ones(()),
            None,
        )
        # A pair that will cross just beyond the end is reached from here as well.
        ahead, coming = next_crossing(mode.above, motion.h, motion.speed, motion.rounding, watched)
        theta = jnp.where(cross.found, cross.theta, 1 + ahead / dt)
        pair = jnp.where(cross.found, cross.pair, coming)
        close = fine & ~exits & (theta > EARLIEST) & (theta < LATEST) & (theta * dt < room)
        landing = jax.lax.cond(
            close,
            lambda _: land(field, mode, ends, motion, dt, theta, pair, scale),
            lambda _: no_landing(end, motion),
            None,
        )
        down = landing.landed
        flat, motion = _where(
            down, (landing.flat, landing.motion), (end + motion.correction, motion)
        )
        violated = (cross.found | exits) & ~down
        at = jnp.where(violated, jnp.minimum(cross.theta, exit_at), 1.0)
        extra = 1 + 8 * _int(exits & fine) + landing.looks
        return Trial(flat, motion, ratio, jnp.where(down, landing.theta, at), violated, extra)

    def _leaving(self, now: State) -> tuple[Array, Array]:
        """Pairs that stand on the surface and cross it, sliding pairs whose gate is at an end."""
        mode, motion = now.mode, now.motion
        inward = jnp.where(mode.above, motion.speed, -motion.speed)
        side = jnp.where(mode.above, motion.h, -motion.h)
        arrives = (side < 0) & (side >= -motion.rounding) & (inward < 0) & ~mode.sliding
        gate = on_slots(self.field, mode, motion.gate, 0.5)
        return arrives | now.forced, mode.sliding & (jnp.minimum(gate, 1 - gate) <= AT_END)

    def _decide(self, now: State) -> State:
        """Choose the mode that goes on from here."""
        mode = now.mode
        arrives, leaves = self._leaving(now)
        gate = on_slots(self.field, mode, now.motion.gate, 0.5)
        above = jnp.where(arrives, ~mode.above, mode.above)
        above = jnp.where(leaves, gate > 0.5, above)
        guess = make_mode(self.field, above, mode.sliding & ~leaves)
        surface = (jnp.abs(now.motion.h) <= now.motion.rounding) | mode.sliding | arrives
        key = jax.random.fold_in(self.key, now.events.events)
        choice = decide(self.field, now.flat, guess, surface, arrives | leaves, key)
        return self._settle(now, choice)

    def _settle(self, now: State, choice: Decision) -> State:
        old, new = now.mode, choice.mode
        landed = ~old.sliding & new.sliding
        left = old.sliding & ~new.sliding
        crossed = ~old.sliding & ~new.sliding & (old.above != new.above)
        counts = now.counts._replace(evaluations=now.counts.evaluations + choice.pivots)
        events = now.events
        events = EventCounts(
            crossed=events.crossed + jnp.sum(crossed, dtype=jnp.int32),
            landed=events.landed + jnp.sum(landed, dtype=jnp.int32),
            left=events.left + jnp.sum(left, dtype=jnp.int32),
            events=events.events + 1,
            retried=events.retried,
            pivots=events.pivots + choice.pivots,
            forks=events.forks,
            most_sliding=jnp.maximum(events.most_sliding, new.held.astype(jnp.int32)),
        )
        short = now.moved < STALL * now.dt
        state = now._replace(
            mode=new,
            motion=choice.motion,
            pending=jnp.asarray(False),
            forced=jnp.zeros_like(now.forced),
            counts=counts,
            events=events,
            stalled=jnp.where(short, now.stalled + 1, 0),
            log=self._write(now.log, now.t, landed | left | crossed, new),
        )
        return state._replace(outcome=self._verdict(state, choice))

    def _write(self, log: Log, t: Scalar, changed: Array, mode: Mode) -> Log:
        if not self.logged:
            return log._replace(written=log.written + 1)
        pairs = changed.size
        (index,) = jnp.nonzero(changed, size=8, fill_value=pairs)
        slots = log.written + jnp.arange(8, dtype=jnp.int32)
        slots = jnp.where(index < pairs, slots, self.logged)
        became = jnp.where(mode.sliding, 0, jnp.where(mode.above, 1, -1)).astype(jnp.int8)
        became = became[jnp.minimum(index, pairs - 1)]
        return Log(
            log.time.at[slots].set(t, mode="drop"),
            log.pair.at[slots].set(index.astype(jnp.int32), mode="drop"),
            log.became.at[slots].set(became, mode="drop"),
            log.written + jnp.sum(index < pairs, dtype=jnp.int32),
        )

    def _verdict(self, state: State, choice: Decision) -> Integer:
        verdict = state.outcome

        def rule(condition, outcome: Outcome):
            return jnp.where(condition, jnp.asarray(outcome.value, verdict.dtype), verdict)

        verdict = rule(state.stalled > STALLED, Outcome.EVENT_CASCADE)
        verdict = rule(~choice.attracting, Outcome.NOT_UNIQUE)
        verdict = rule(~choice.solved, Outcome.NO_CONTINUATION)
        return rule(~choice.fits, Outcome.SLIDING_OVERFLOW)

    def _judge(self, now: State) -> State:
        """Budgets and blow-up, after a trial step."""
        counts = now.counts
        verdict = now.outcome

        def rule(condition, outcome: Outcome):
            hit = condition & (now.outcome == RUNNING)
            return jnp.where(hit, jnp.asarray(outcome.value, verdict.dtype), verdict)

        pull = jnp.min(jnp.where(now.mode.slots < now.mode.sliding.size, now.motion.pull, 1.0))
        verdict = rule(~(pull > 0), Outcome.NOT_UNIQUE)
        steps = counts.accepted + counts.rejected + now.events.retried
        verdict = rule(steps.astype(int) >= self.numerics.max_steps, Outcome.MAX_STEPS)
        floor = 16 * jnp.finfo(now.t.dtype).eps * jnp.abs(now.t)
        verdict = rule(now.dt < floor, Outcome.STEP_UNDERFLOW)
        limit = self.numerics.stops.blow_up * (1 + _norm(self.field.problem.weights))
        size = jnp.sqrt(jnp.sum(now.flat**2))
        verdict = rule(~(size <= limit), Outcome.BLOW_UP)
        return now._replace(outcome=verdict)


def _where(condition, yes, no):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _int(flag: Flag) -> Integer:
    return flag.astype(jnp.int32)


def _rms(flat: Array) -> Scalar:
    return jnp.sqrt(jnp.mean(flat**2))


def _norm(tree) -> Scalar:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
