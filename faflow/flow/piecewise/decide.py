"""Who crosses, slides or leaves when pairs meet h = 0: a mixed complementarity problem.

For the pairs on the surface: gate 1 needs dh/dt >= 0, gate 0 needs dh/dt <= 0, between them
dh/dt = 0. Principal pivoting: guess who is where, evaluate the field, move those that disagree.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer
from .field import Field, Mode, Motion, finite
from .screen import GATE_SLACK

BLOCK_PIVOTS = 6  # rounds that move everyone who disagrees; after them one at random a time
PIVOTS = 120
SPEED_SLACK = 1e-11  # relative to the largest |dh/dt|


class Decision(NamedTuple):
    """The mode chosen and the field in it. `solved`: it is consistent; `fits`: the sliding set had
    a slot for everyone; `attracting`: it holds its sliding pairs; `pivots` field evaluations."""

    mode: Mode
    motion: Motion
    solved: Flag
    fits: Flag
    attracting: Flag
    pivots: Integer


class _Pivot(NamedTuple):
    mode: Mode
    crossed: Array
    motion: Motion
    wrong: Array
    fits: Flag
    rounds: Integer


def make_mode(field: Field, above: Array, sliding: Array) -> Mode:
    pairs, slots = field.layout.pairs, field.tiers[-1]
    (index,) = jnp.nonzero(sliding, size=slots, fill_value=pairs)
    return Mode(above, sliding, index, jnp.sum(sliding))


def on_slots(field: Field, mode: Mode, values: Array, fill) -> Array:
    """Values of the slots spread over all pairs, `fill` elsewhere."""
    spread = jnp.full(field.layout.pairs + 1, fill, values.dtype)
    return spread.at[mode.slots].set(values)[:-1]


def decide(
    field: Field, flat: Array, guess: Mode, surface: Array, crossed: Array, key: Array
) -> Decision:
    """The mode that goes on from here.

    `guess`: tried first; `surface`: the pairs that may change, sliding ones among them; `crossed`:
    those whose side in the guess is already the other one.
    """

    def look(now: _Pivot) -> _Pivot:
        mode = now.mode
        motion = field.motion(flat, mode)
        scale = SPEED_SLACK * jnp.max(jnp.abs(motion.speed))
        inward = jnp.where(mode.above, motion.speed, -motion.speed)
        gate = on_slots(field, mode, motion.gate, 0.5)
        outside = (gate < -GATE_SLACK) | (gate > 1 + GATE_SLACK)
        wrong = surface & jnp.where(mode.sliding, outside, inward < -scale)
        fits = mode.held <= field.tiers[-1]
        return now._replace(motion=motion, wrong=wrong, fits=fits, rounds=now.rounds + 1)

    def going(now: _Pivot) -> Flag:
        return jnp.any(now.wrong) & now.fits & (now.rounds < PIVOTS)

    def move(now: _Pivot) -> _Pivot:
        mode = now.mode
        draw = jax.random.uniform(jax.random.fold_in(key, now.rounds), now.wrong.shape)
        one = jnp.argmax(jnp.where(now.wrong, draw, -1.0))
        single = jnp.zeros_like(now.wrong).at[one].set(True)
        moves = jnp.where(now.rounds < BLOCK_PIVOTS, now.wrong, single)
        # Where several modes are consistent the flow takes the one nearest to where it comes from:
        # those that brought the event about settle before anyone else is asked.
        cause = now.wrong & crossed
        moves = jnp.where(jnp.any(cause) & (now.rounds < BLOCK_PIVOTS), cause, moves)
        gate = on_slots(field, mode, now.motion.gate, 0.5)
        # First across, then onto the surface, then off it on the side its gate says.
        leaves = moves & mode.sliding
        crosses = moves & ~mode.sliding & ~now.crossed
        lands = moves & ~mode.sliding & now.crossed
        # dh/dt at gate x is pull * (gate - x): this is the way it goes with any gate in [0, 1].
        rises = (gate - 0.5) * on_slots(field, mode, now.motion.pull, 1.0) > 0
        above = jnp.where(leaves, rises, jnp.where(crosses, ~mode.above, mode.above))
        sliding = (mode.sliding & ~leaves) | lands
        return now._replace(
            mode=make_mode(field, above, sliding), crossed=now.crossed | crosses | leaves
        )

    def pivot(now: _Pivot) -> _Pivot:
        # The first round looks at the guess itself.
        return look(jax.lax.cond(now.rounds == 0, lambda same: same, move, now))

    zero = jnp.zeros((), jnp.int32)
    motion = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(lambda: field.motion(flat, guess)),
    )
    everyone, yes = jnp.ones_like(surface), jnp.asarray(True)
    end = jax.lax.while_loop(going, pivot, _Pivot(guess, crossed, motion, everyone, yes, zero))
    mode = end.mode
    pull = jnp.min(jnp.where(mode.slots < field.layout.pairs, end.motion.pull, 1.0))
    solved = ~jnp.any(end.wrong) & finite(end.motion)
    return Decision(mode, end.motion, solved, end.fits, pull > 0, end.rounds)
