"""After a look at a guess: settle in it, guess again, ask the discrete rule, or give up."""

import jax
import jax.numpy as jnp

from ...._generator import seeded
from ...._results import Outcome
from ...._types import Array, Flag
from ..setting import Found, Look, Setting, in_place, one_if
from ..settle import settle
from ..state import CHATTER, PIVOT, State
from .decide import (
    PIVOTS,
    differing,
    disagreeing,
    doubtful,
    gate_sides,
    move,
    next_doubt,
    return_to_first,
    second_opinion,
    start_chatter,
    stroke,
)


def after_pivot(setting: Setting, now: State, look: Look) -> Found:
    """The field in the guessed mode has been looked at."""
    plan, motion, branch = now.plan, look.motion, setting.numerics.exact.branch
    beside = setting.field.beside(plan.guess.sliding)
    slack = setting.slack(motion)
    wrong = disagreeing(plan, now.mode, motion, slack, beside)
    solved, lost = ~jnp.any(wrong), plan.rounds >= PIVOTS
    room = plan.guess.held <= plan.guess.slots.size
    sides = gate_sides(plan.guess, motion, slack)
    other = differing(plan, now.mode, sides)
    twofold = solved & (plan.opinion == 1) & jnp.any(other)
    alone = ~solved & lost & (plan.opinion == 1)
    doubted = doubtful(plan, now.mode, now.here, motion)
    doubted, waiting = next_doubt(plan, now.mode, doubted, setting.field.layout.rows)
    agreed = (solved & (plan.opinion < 2) & ~twofold) | alone
    asks = agreed & jnp.any(doubted)
    back = ((twofold & (branch != "other")) | alone) & ~asks
    hopeless = ~solved & lost & plan.chattered & (plan.opinion != 1)
    # Whoever goes back to the first mode found it consistent before.
    accepted = (solved & ~asks & ~back) | (plan.opinion == 2)
    # Gates above a dead layer count only where signals come down through them.
    open_gate = accepted & (plan.torn >= 0) & (setting.field.problem.rule.form != "direct")
    forked = twofold | open_gate
    asks_rule = ~solved & lost & ~hopeless & ~alone
    key = jax.random.fold_in(seeded(0), now.events.events)
    follow = (
        lambda _: move(plan, motion, wrong, beside, key),
        lambda _: second_opinion(plan, motion, sides, doubted, waiting),
        lambda _: start_chatter(plan, motion),
        lambda _: return_to_first(plan),
        lambda _: plan,
    )
    over = accepted | hopeless | ~room
    choice = jnp.select([over, asks, back, asks_rule], [4, 1, 3, 2], 0)
    # A pair that was doubted, and rightly; else one of those that were.
    rightly = plan.doubted & other
    doubts = jnp.argmax(jnp.where(jnp.any(rightly), rightly, plan.doubted)).astype(plan.torn.dtype)
    place = jnp.where(twofold, doubts, plan.torn)
    is_first = forked & (now.events.forks == 0)
    chosen = settle(now, accepted & room)
    later = chosen._replace(
        plan=jax.lax.switch(choice, follow, None),
        phase=jnp.where(choice == 2, CHATTER, chosen.phase).astype(now.phase.dtype),
        counts=now.counts._replace(evaluations=now.counts.evaluations + 1),
        events=chosen.events._replace(
            pivots=now.events.pivots + 1, forks=now.events.forks + one_if(forked)
        ),
        outcome=_outcome(now.outcome, hopeless, ~room, forked & (branch == "stop")),
        fork_time=jnp.where(is_first, now.t, now.fork_time),
        fork_pair=jnp.where(is_first, place, now.fork_pair),
    )
    return in_place(later, accepted & room)


def after_stroke(setting: Setting, now: State, look: Look) -> Found:
    """The discrete rule has made a step."""
    del setting
    plan, over = stroke(now.plan, look.motion)
    later = now._replace(
        plan=plan,
        phase=jnp.where(over, PIVOT, CHATTER).astype(now.phase.dtype),
        counts=now.counts._replace(evaluations=now.counts.evaluations + 1),
        events=now.events._replace(pivots=now.events.pivots + 1),
    )
    return in_place(later)


def _outcome(outcome: Array, hopeless: Flag, full: Flag, forked: Flag) -> Array:
    for condition, value in (
        (hopeless, Outcome.NO_CONTINUATION),
        (full, Outcome.SLIDING_OVERFLOW),
        (forked, Outcome.NOT_UNIQUE),
    ):
        outcome = jnp.where(condition, jnp.asarray(value.value, outcome.dtype), outcome)
    return outcome
