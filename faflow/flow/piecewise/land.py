"""Landing on an event inside a step: the point where a pair's h is 0, or a gate leaves [0, 1].

The cubic Hermite u through both ends of a step misses the flow by e theta^2 (1 - theta)^2, and
its defect f(u) - u' is 2 e theta (1 - theta)(1 - 2 theta) / dt up to higher order: one evaluation
of the field at u therefore tells that error and takes it away. Near the end of the step it is
small anyway, and no new step is needed to stand on the surface to rounding.
"""

from typing import NamedTuple

import jax.numpy as jnp

from ..._types import Array, Flag, Scalar
from .field import Motion
from .mode import Mode
from .runge_kutta import hermite, hermite_slope
from .screen import margin
from .state import Here, Trial

LOOKS = 6
SHARE = 0.03  # of the allowed error, for the part that the correction takes away
# Where in a step an event is sought: not about the middle, where the defect tells nothing.
EARLY, LATE = (0.1, 0.35), (0.65, 1.05)


class Landing(NamedTuple):
    """`landed`: on the event, nobody else has left the mode, and as accurate as a step. `failed`:
    a shorter step has to be tried. Else `trial` says where to look next."""

    landed: Flag
    failed: Flag
    trial: Trial


def place(here: Here, trial: Trial) -> Array:
    """The weights to look at."""
    cubic = hermite(here.flat, here.velocity, trial.end, trial.velocity, trial.dt, trial.theta)
    return cubic - trial.correction


def judge_look(
    here: Here, trial: Trial, mode: Mode, motion: Motion, slack: Scalar, scale: Array
) -> Landing:
    """What a look at `place` tells: Newton's method in theta for a pair, false position
    for a gate."""
    theta, dt, pair = trial.theta, trial.dt, jnp.maximum(trial.pair, 0)
    slope = hermite_slope(here.flat, here.velocity, trial.end, trial.velocity, dt, theta)
    odd = 1 - 2 * theta
    factor = dt * theta * (1 - theta) / (2 * jnp.where(odd == 0, 1.0, odd))
    signed = jnp.where(mode.above, motion.h, -motion.h)
    speed = jnp.where(mode.above[pair], motion.speed[pair], -motion.speed[pair])
    side, rounding = signed[pair], motion.rounding[pair]
    now = margin(motion.low, motion.high)
    by_gate = trial.pair < 0
    arrived = jnp.where(by_gate, (now <= 0) & (now >= -slack), jnp.abs(side) <= rounding)
    newton = theta - (side + rounding / 2) / (speed * dt)
    # False position between the bounds of the exit.
    still_in = now > -slack / 2
    low, at_low = (
        jnp.where(still_in, a, b) for a, b in ((theta, trial.low), (now, trial.low_margin))
    )
    high, at_high = (
        jnp.where(still_in, b, a) for a, b in ((theta, trial.high), (now, trial.high_margin))
    )
    secant = low + (high - low) * (at_low + slack / 2) / (at_low - at_high)
    following = jnp.where(by_gate, secant, newton)
    following = jnp.where(jnp.isfinite(following), following, theta)
    outside = ~mode.sliding & (signed < -motion.rounding)
    clean = ~jnp.any(outside) & (now >= -slack)
    correction = (motion.velocity - slope) * factor
    # At the first look nothing has been taken away yet: good if there is nothing to take.
    missed = jnp.where(trial.looks == 0, correction, trial.correction)
    most = jnp.where(trial.looks == 0, SHARE**2, SHARE)
    accurate = jnp.sqrt(jnp.mean((missed / scale) ** 2)) <= most
    arrived = arrived & (accurate | (trial.looks > 0))
    later = trial._replace(
        theta=jnp.where(odd > 0, jnp.clip(following, *EARLY), jnp.clip(following, *LATE)),
        correction=correction,
        low=low,
        low_margin=at_low,
        high=high,
        high_margin=at_high,
        looks=trial.looks + 1,
    )
    landed = arrived & clean & accurate
    # In the early part the correction is worth little: a shorter step is the better way.
    poor = (odd > 0) & ~accurate
    return Landing(landed, ~landed & (arrived | poor | (later.looks >= LOOKS)), later)


def within_reach(theta: Scalar) -> Flag:
    """Whether an event at theta can be sought without a new step."""
    early = (theta > EARLY[0]) & (theta < EARLY[1])
    return early | ((theta > LATE[0]) & (theta < LATE[1]))
