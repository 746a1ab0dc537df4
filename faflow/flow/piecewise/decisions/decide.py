"""Who crosses, slides or leaves when pairs meet h = 0: a mixed complementarity problem.

For the pairs on the surface: gate 1 needs dh/dt >= 0, gate 0 needs dh/dt <= 0, between them
dh/dt = 0. dh/dt is continuous in the gates, so this variational inequality on a box always has a
solution (Hartman & Stampacchia 1966). It is sought by principal pivoting: guess who is where, look
at the field, move those that disagree. If that goes round in circles, the discrete rule is asked:
h += dh/dt with gates 1[h > 0] on the frozen coefficients is what Euler's method does on the
surface when its step goes to 0; who runs off, leaves, and who goes to and fro, slides.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ...._generator import drawing
from ...._types import Array, Flag, Scalar
from ..field import Motion
from ..mode import Mode, change, codes, first_of, spread
from ..state import BEGIN, FOLLOW, GUESS, STAY, TAKE, Here, Plan
from .dead import Sides
from .ties import Surfaces, alone

Settle = Callable[[Array, Array], Sides]
Group = Callable[[Array, Mode, Array], Surfaces]

BLOCK_PIVOTS = 6  # rounds that move everyone who disagrees; after them one at random a time
PIVOTS = 40
STROKES = 400  # steps of the discrete rule
SPEED_SLACK = 1e-11  # relative to the largest |dh/dt|; 20 times the noise if that is more


def new_plan(mode: Mode) -> Plan:
    none = jnp.zeros(mode.above.size, bool)
    zero = jnp.zeros((), jnp.int32)
    slots = mode.slots.size
    return Plan(
        turn=zero, above=mode.above, sliding=mode.sliding, guess=mode, dead=none, torn=zero - 1,
        surface=none, one=alone(none.size), crossed=none, causes=none, rounds=zero,
        chattered=jnp.asarray(False), who=jnp.zeros(slots, jnp.int32), sums=jnp.zeros(slots),
        flipped=jnp.zeros(slots, bool), first=codes(mode), first_side=codes(mode), doubted=none,
        waiting=none, opinion=zero,
    )  # fmt: skip


def still(motion: Motion) -> Scalar:
    """|dh/dt| below this is 0 for all that float64 can tell."""
    return jnp.maximum(SPEED_SLACK, 20 * motion.noise) * jnp.max(jnp.abs(motion.speed))


def disagreeing(plan: Plan, old: Mode, motion: Motion, slack: Scalar, beside: Array) -> Array:
    """Pairs on the surface that do not go where the guess has them.

    `beside`: pairs of neurons that slide on another sample, whose surfaces may coincide.
    """
    mode = plan.guess
    scale = still(motion)
    inward = jnp.where(mode.above, motion.speed, -motion.speed)
    outside = spread(mode, jnp.minimum(motion.low, motion.high), 0.5) < -slack
    # A pair that keeps to the surface because others hold it there slides with them.
    left = plan.causes & old.sliding
    idle = beside & (jnp.abs(motion.speed) <= scale) & ~left
    wrong = jnp.where(mode.sliding, outside, (inward < -scale) | idle)
    wrong = wrong[plan.one.leader] & plan.surface & ~plan.dead
    return jnp.where(jnp.all(jnp.isfinite(motion.velocity)), wrong, plan.surface & ~plan.dead)


def opens(mode: Mode, place: Motion | Here) -> Array:
    """Sliding pairs whose gate is nearer to open than to closed."""
    return spread(mode, place.low - place.high, 0.0) > 0


def to_guess(plan: Plan, above: Array, sliding: Array, turn: int = GUESS) -> Plan:
    """The plan with another guess to be made."""
    return plan._replace(above=above, sliding=sliding, turn=jnp.full_like(plan.turn, turn))


def turned(plan: Plan, mode: Mode, here: Here, fix: Settle, group: Group) -> Plan:
    """The plan when its turn has come: begun in `mode`, and with its next guess. Pairs on one
    surface go where their leader goes; then `fix(above, sliding)` settles pairs that have no say.

    `group(flat, mode, surface)`: which of the pairs on their surfaces have the same one.
    """

    def begun(_) -> Plan:
        return open_decision(plan, mode, here, group)

    plan = jax.lax.cond(plan.turn == BEGIN, begun, lambda _: plan, None)
    led, wanted = plan.one.follow(plan.above, plan.sliding), (plan.above, plan.sliding)
    above, sliding = (
        jnp.where(plan.turn == TAKE, one, other) for one, other in zip(wanted, led, strict=True)
    )

    def settled(_):
        sides = fix(above, sliding)
        first = jnp.argmax(sides.torn).astype(plan.torn.dtype)
        torn = jnp.where(jnp.any(sides.torn), first, jnp.full_like(first, -1))
        return sides.above, sides.sliding, sides.dead, torn

    above, sliding, dead, torn = jax.lax.cond(
        plan.turn == GUESS, settled, lambda _: (above, sliding, plan.dead, plan.torn), None
    )
    guess = change(plan.guess, above, sliding)
    turn = jnp.full_like(plan.turn, STAY)
    return plan._replace(turn=turn, guess=guess, dead=dead, torn=torn)


def move(plan: Plan, motion: Motion, wrong: Array, beside: Array, key: Array) -> Plan:
    """The next guess: first across, then onto the surface, then off it where its gate says."""
    mode = plan.guess
    # Where several modes are consistent the flow takes the one nearest to where it comes from:
    # those that brought the event about settle before anyone else is asked.
    first = wrong & plan.crossed
    moves = jnp.where(jnp.any(first), first, wrong)

    def one(_) -> Array:
        with drawing():
            draw = jax.random.uniform(jax.random.fold_in(key, plan.rounds), wrong.shape)
        drawn = jnp.argmax(jnp.where(wrong & plan.one.leads, draw, -1.0))
        return jnp.zeros_like(wrong).at[drawn].set(True)[plan.one.leader]

    moves = jax.lax.cond(plan.rounds < BLOCK_PIVOTS, lambda _: moves, one, None)
    leaves = moves & mode.sliding
    lands = moves & ~mode.sliding & (plan.crossed | beside)
    crosses = moves & ~mode.sliding & ~lands
    # Towards the bound that is near, or beyond which it is.
    rises = opens(mode, motion)
    above = jnp.where(leaves, rises, jnp.where(crosses, ~mode.above, mode.above))
    return to_guess(plan, above, (mode.sliding & ~leaves) | lands)._replace(
        crossed=plan.crossed | crosses | leaves,
        rounds=plan.rounds + 1,
    )


def start_chatter(plan: Plan, motion: Motion) -> Plan:
    """Ask the discrete rule from here on."""
    mode = plan.guess
    above = jnp.where(mode.sliding, opens(mode, motion), mode.above)
    return to_guess(plan, above, jnp.zeros_like(above), TAKE)._replace(
        rounds=jnp.zeros_like(plan.rounds),
        chattered=jnp.asarray(True), sums=jnp.zeros_like(plan.sums),
        who=first_of(plan.surface & ~plan.dead & plan.one.leads, plan.who.size),
        flipped=jnp.zeros_like(plan.flipped),
    )  # fmt: skip


def stroke(plan: Plan, motion: Motion) -> tuple[Plan, Flag]:
    """One step of the discrete rule; after the last one its answer is the guess."""
    who, sides = plan.who, plan.guess.above
    asked = who < sides.size
    sums = plan.sums + jnp.where(asked, motion.speed.at[who].get(mode="clip"), 0.0)
    late = plan.rounds >= STROKES // 2
    flipped = plan.flipped | (late & asked & ((sums > 0) != sides.at[who].get(mode="clip")))
    above = sides.at[who].set(sums > 0, mode="drop")
    over = plan.rounds + 1 >= STROKES
    sliding = jnp.zeros_like(sides).at[who].set(flipped & over, mode="drop")
    return to_guess(plan, above, sliding, FOLLOW)._replace(
        sums=sums, flipped=flipped,
        crossed=plan.surface, rounds=jnp.where(over, 0, plan.rounds + 1),
    ), over  # fmt: skip


def doubtful(plan: Plan, old: Mode, here: Here, motion: Motion) -> Array:
    """Pairs that might as well have gone another way: those that others threw off the surface
    they slid on, those whose surface has begun to repel (their signal has passed through 0, as all
    signals of a neuron do when its outgoing weight changes sign), and sliding ones that repel."""
    released = spread(old, here.low + here.high, 1.0) <= 0
    thrown = old.sliding & ~plan.guess.sliding & ~plan.causes & ~plan.dead
    repelled = plan.guess.sliding & (spread(plan.guess, motion.low + motion.high, 1.0) <= 0)
    return plan.surface & (thrown | repelled | (released & ~plan.guess.sliding & ~plan.dead))


def together(plan: Plan, old: Mode, rows: Array) -> Array:
    """Pairs that cross at one time with others: one may be able to stay where the other crosses.
    (Not those of one of the `rows`, a sample in a layer: they all go where what is left of the
    layer below goes.)"""
    arrived = arrivals(plan, old)
    crossing = arrived & ~plan.guess.sliding & (plan.guess.above != old.above)
    leads = arrived & plan.one.leads
    return crossing & jnp.any(leads & (rows != rows[jnp.argmax(leads)]))


def arrivals(plan: Plan, old: Mode) -> Array:
    """Pairs that have come to a surface."""
    return plan.causes & ~old.sliding & ~plan.dead


def next_doubt(plan: Plan, old: Mode, doubted: Array, rows: Array) -> tuple[Array, Array]:
    """Whom a second opinion is asked about now, and who is `waiting`. Those that cross together
    are asked about one by one, the others all at once."""
    waiting = jnp.where(plan.opinion == 0, together(plan, old, rows), plan.waiting)
    doubted = doubted & (plan.opinion == 0)
    first = plan.one.leader == plan.one.leader[jnp.argmax(waiting)]
    doubted = jnp.where(jnp.any(doubted), doubted, first & waiting)
    return doubted, waiting & ~doubted


def gate_sides(mode: Mode, motion: Motion, slack: Scalar) -> Array:
    """`codes`, but pairs that slide with the gate of one side are taken to be there."""
    closed, open_ = (spread(mode, bound, 1.0) <= slack for bound in (motion.low, motion.high))
    return codes(mode) + (open_ & ~closed).astype(jnp.int8) - (closed & ~open_).astype(jnp.int8)


def second_opinion(
    plan: Plan, motion: Motion, sides: Array, doubted: Array, waiting: Array
) -> Plan:  # fmt: skip
    """Look for another consistent mode, with the doubted pairs on the other side; `sides`:
    `gate_sides` in this one."""
    mode, asked = plan.guess, plan.opinion > 0
    first, first_side = (
        jnp.where(asked, a, b) for a, b in ((plan.first, codes(mode)), (plan.first_side, sides))
    )
    slides = first == 0
    other = jnp.where(slides & ~asked, opens(mode, motion), first < 0)
    above = jnp.where(doubted, other, jnp.where(slides, mode.above, first > 0))
    return to_guess(plan, above, slides & ~doubted)._replace(
        first=first, first_side=first_side, doubted=doubted, waiting=waiting,
        crossed=plan.crossed | doubted, opinion=jnp.ones_like(plan.opinion),
        rounds=jnp.zeros_like(plan.rounds),
    )  # fmt: skip


def differing(plan: Plan, old: Mode, sides: Array) -> Array:
    """Pairs with a say that the second opinion, with its `gate_sides`, has elsewhere. For one that
    has not slid it is all the same whether it goes to a side or slides with the gate of that side.
    """
    same = ~old.sliding & (sides == plan.first_side)
    return (codes(plan.guess) != plan.first) & ~same & ~plan.dead


def return_to_first(plan: Plan) -> Plan:
    """The first mode after all."""
    plan = to_guess(plan, plan.first > 0, plan.first == 0, TAKE)
    return plan._replace(opinion=plan.opinion + 1)


def to_begin(plan: Plan, causes: Array) -> Plan:
    """The plan that a new decision is to be made of, brought about by these pairs."""
    return plan._replace(causes=causes, turn=jnp.full_like(plan.turn, BEGIN))


def open_decision(plan: Plan, mode: Mode, here: Here, group: Group) -> Plan:
    """A new decision: of those that brought it about, arriving pairs cross, leaving ones, which
    slide, go to the side their gate has reached."""
    arrives, leaves = plan.causes & ~mode.sliding, plan.causes & mode.sliding
    surface = here.near | mode.sliding | arrives
    # Pairs at rest on 0 stay as they are, for phi'(0) = 0: a row of zeros moves nothing.
    moving = mode.sliding | arrives | (here.speed != 0)
    one = group(here.flat, mode, surface & moving)
    arrives, leaves = one.whole(arrives), one.whole(leaves)
    above = jnp.where(arrives, ~mode.above, mode.above)
    above = jnp.where(leaves, opens(mode, here), above)
    causes = arrives | leaves
    plan = new_plan(mode)._replace(surface=surface, one=one, crossed=causes, causes=causes)
    return to_guess(plan, above, mode.sliding & ~leaves)
