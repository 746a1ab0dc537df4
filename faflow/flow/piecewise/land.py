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
EARLIEST, LATEST = 0.1, 1.05  # theta
MIDDLE = 0.15  # about theta = 1/2 the defect vanishes and tells nothing


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
    """What a look at `place` tells: Newton's method in theta for a pair, a secant for a gate."""
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
    fall = (trial.last_margin - now) / (trial.last_theta - theta)
    secant = theta - (now + slack / 2) / fall
    following = jnp.where(by_gate, secant, newton)
    following = jnp.where(jnp.isfinite(following), following, theta)
    outside = ~mode.sliding & (signed < -motion.rounding)
    clean = ~jnp.any(outside) & (now >= -slack)
    correction = (motion.velocity - slope) * factor
    # At the first look nothing has been taken away yet: good if there is nothing to take.
    missed = jnp.where(trial.looks == 0, correction, trial.correction)
    most = jnp.where(trial.looks == 0, SHARE**2, SHARE)
    accurate = (jnp.sqrt(jnp.mean((missed / scale) ** 2)) <= most) & (jnp.abs(odd) > 2 * MIDDLE)
    arrived = arrived & (accurate | (trial.looks > 0))
    later = trial._replace(
        theta=jnp.clip(following, EARLIEST, LATEST),
        correction=correction,
        last_theta=theta,
        last_margin=now,
        looks=trial.looks + 1,
    )
    landed = arrived & clean & accurate
    return Landing(landed, ~landed & (arrived | (later.looks >= LOOKS)), later)
