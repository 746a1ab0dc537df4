"""After a trial step, or a look inside it: stand there, seek the event, or try a shorter step."""

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Scalar
from .decisions.decide import still, to_begin
from .field import Motion
from .land import judge_look, within_reach
from .mode import Mode, spread
from .screen import Crossing, cubics, first_crossing, margin, next_crossing
from .setting import Found, Look, Setting, one_if
from .state import LOOK, PIVOT, STEP, State, here_of

AT_END = 1e-12  # a sliding pair this close to its bounds is there
WARY = 8.0  # after a step cut for an event that was none, the next trial is this much longer
TINY = 1e-6  # of the step that the error allows: as good as no time
STUCK = 1e-14  # of the step that the error allows: a violation sooner than that is one on the spot


def after_step(setting: Setting, now: State, look: Look) -> Found:
    """The end of a trial step has been looked at: is it accurate, does anyone leave the mode?"""
    here, mode, motion, dt = now.here, now.mode, look.motion, look.dt
    ratio = _error_ratio(setting, now, look)
    fine, watched = ratio <= 1, ~mode.sliding
    curves = cubics(mode.above, here.h, here.speed, motion.h, motion.speed, dt)
    cross = first_crossing(curves, motion.rounding, watched & fine)
    start, end = margin(here.low, here.high), margin(motion.low, motion.high)
    slack = setting.slack(motion)
    exits = fine & (end < -slack)
    # A pair that will cross just beyond the end is reached from here as well.
    clear = watched & (jnp.abs(motion.h) > motion.rounding)
    ahead, coming = next_crossing(mode.above, motion.h, motion.speed, clear)
    ahead = jnp.where(jnp.any(_arriving(mode, motion)), jnp.inf, ahead)
    theta = jnp.where(cross.found, cross.theta, 1 + ahead / dt)
    exit_at = (jnp.maximum(start, 0) + slack / 2) / (jnp.maximum(start, 0) - end)
    by_gate = exits & (exit_at < theta)
    theta = jnp.where(by_gate, exit_at, theta)
    # A gate that jumps out of its bounds (surfaces that part or meet) is taken as it is.
    jumps = by_gate & (dt <= TINY * now.dt)
    violated = (cross.found | exits) & ~jumps
    room = theta * dt < look.target - now.t
    seek = fine & within_reach(theta) & room & ~jumps
    stands = fine & ~violated & ~seek
    stuck = violated & (theta * dt <= STUCK * now.dt)
    retry = violated & ~seek
    pair = jnp.where(by_gate, -1, jnp.where(cross.found, cross.pair, coming))
    trial = now.trial._replace(
        end=look.point, velocity=motion.velocity, dt=dt, theta=theta,
        pair=pair.astype(now.trial.pair.dtype), correction=jnp.zeros_like(look.point),
        low=jnp.zeros_like(theta), low_margin=start, high=jnp.ones_like(theta), high_margin=end,
        guess=theta, looks=jnp.zeros_like(now.trial.looks),
    )  # fmt: skip
    later = now._replace(
        dt=_next_dt(setting, now.dt, dt, ratio),
        cap=jnp.where(retry, theta * dt, jnp.inf),
        phase=jnp.where(seek, LOOK, STEP).astype(now.phase.dtype),
        trial=jax.tree.map(lambda a, b: jnp.where(seek, a, b), trial, now.trial),
        counts=now.counts._replace(
            rejected=now.counts.rejected + one_if(~fine),
            evaluations=now.counts.evaluations + len(setting.table.weights) - 1,
        ),
        events=now.events._replace(retried=now.events.retried + one_if(retry)),
    )
    t = jnp.where(look.last, look.target, now.t + dt)
    arrives, leaves = _events(mode, motion, stands)
    # A step cut short for an event that was none: the cubic of the long step was wrong, so the
    # next trial does not go as far.
    alarm = stands & (now.cap < jnp.inf) & ~jnp.any(arrives | leaves)
    shorter = jnp.maximum(jnp.maximum(WARY * dt, 1e-3 * now.dt), 1e-3 * now.first_dt)
    later = later._replace(dt=jnp.where(alarm, jnp.minimum(later.dt, shorter), later.dt))
    forced = _offenders(now, cross, motion, stuck)
    causes = arrives | leaves | forced[0] | forced[1]
    return Found(later, t, stands, jnp.zeros_like(stands), stuck | jnp.any(causes), causes)


def after_look(setting: Setting, now: State, look: Look) -> Found:
    """A place inside the step has been looked at: is the event there?"""
    trial, slack = now.trial, setting.slack(look.motion)
    allowed = setting.error_scale(now.here.flat, trial.end, look.tail)
    landing = judge_look(now.here, trial, now.mode, look.motion, slack, allowed)
    over = landing.failed | landing.landed
    # A trial that ends at the event is the best one to find it from; else one that ends before.
    shorter = jnp.where(now.missed < 2, trial.guess, 0.5 * jnp.minimum(trial.guess, 1.0))
    later = now._replace(
        trial=landing.trial,
        phase=jnp.where(over, STEP, LOOK).astype(now.phase.dtype),
        cap=jnp.where(landing.failed, shorter * trial.dt, now.cap),
        missed=now.missed + one_if(landing.failed),
        counts=now.counts._replace(evaluations=now.counts.evaluations + 1),
        events=now.events._replace(retried=now.events.retried + one_if(landing.failed)),
    )
    arrives, leaves = _events(now.mode, look.motion, landing.landed)
    causes, t = arrives | leaves, now.t + trial.theta * trial.dt
    return Found(later, t, landing.landed, jnp.zeros_like(over), jnp.any(causes), causes)


def stand(found: Found, look: Look) -> State:
    """The state where the flow stands, sliding pairs back on their surfaces, with a decision to
    begin if there is one."""
    now, motion, moves = found.state, look.motion, found.moves
    there = here_of(jnp.where(moves, look.point + motion.correction, now.here.flat), motion)
    shown = moves | found.settles
    begun = to_begin(now.plan, found.causes)
    plan = now.plan._replace(
        causes=jnp.where(found.pending, begun.causes, now.plan.causes),
        turn=jnp.where(found.pending, begun.turn, now.plan.turn),
    )
    return now._replace(
        t=jnp.where(moves, found.t, now.t),
        here=jax.tree.map(lambda a, b: jnp.where(shown, a, b), there, now.here),
        missed=jnp.where(moves, 0, now.missed),
        moved=now.moved + jnp.where(moves, found.t - now.t, 0.0),
        cap=jnp.where(moves, jnp.inf, now.cap),
        counts=now.counts._replace(accepted=now.counts.accepted + one_if(moves)),
        plan=plan,
        phase=jnp.where(found.pending, PIVOT, now.phase).astype(now.phase.dtype),
    )


def _error_ratio(setting: Setting, now: State, look: Look) -> Scalar:
    error = look.partial + look.dt * setting.table.error[-1] * look.motion.velocity
    allowed = setting.error_scale(now.here.flat, look.point, look.tail)
    ratio = jnp.sqrt(jnp.mean((error / allowed) ** 2))
    return jnp.where(jnp.isnan(ratio), jnp.inf, ratio)


def _next_dt(setting: Setting, allowed: Scalar, dt: Scalar, ratio: Scalar) -> Scalar:
    """The step that the error allows. A cut step says little about longer ones: it may raise the
    proposal, not lower it."""
    factor = jnp.clip(0.9 * ratio ** (-1 / setting.table.order), 0.2, 5.0)
    proposal = dt * jnp.where(jnp.isfinite(ratio), factor, 0.2)
    cut = (ratio <= 1) & (dt < allowed)
    return jnp.where(cut, jnp.maximum(allowed, proposal), proposal)


def _events(mode: Mode, motion: Motion, stands: Flag) -> tuple[Array, Array]:
    """Pairs that arrive on their surface and pairs that leave it, where the flow now stands."""
    leaves = spread(mode, jnp.minimum(motion.low, motion.high), 0.5) <= AT_END
    return stands & _arriving(mode, motion), stands & leaves


def _arriving(mode: Mode, motion: Motion) -> Array:
    """Pairs that stand on the surface and are about to cross it."""
    inward = jnp.where(mode.above, motion.speed, -motion.speed)
    moving = inward < -still(motion)
    return (jnp.abs(motion.h) <= motion.rounding) & moving & ~mode.sliding


def _offenders(now: State, cross: Crossing, motion: Motion, stuck: Flag) -> tuple[Array, Array]:
    """A violation where the flow stands: whoever is outside at the end of the trial."""
    signed = jnp.where(now.mode.above, motion.h, -motion.h)
    outside = (signed < -motion.rounding) & now.here.near & ~now.mode.sliding
    outside = outside.at[cross.pair].set(outside[cross.pair] | cross.found)
    leaves = spread(now.mode, jnp.minimum(now.here.low, now.here.high), 0.5) <= 0
    return stuck & outside, stuck & leaves
