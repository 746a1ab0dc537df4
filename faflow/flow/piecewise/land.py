"""Landing on the surface: the point near the end of a step where a pair's h is 0.

The cubic Hermite u through both ends of a step misses the flow by e theta^2 (1 - theta)^2, and
its defect f(u) - u' is 2 e theta (1 - theta)(1 - 2 theta) / dt up to higher order: one evaluation
of the field at u therefore tells that error and takes it away. Near the end of the step it is
small anyway, and no new step is needed to stand on the surface to rounding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, Scalar
from .field import Field, Mode, Motion
from .runge_kutta import hermite, hermite_slope
from .screen import GATE_SLACK, gate_margin

LOOKS = 5
SHARE = 0.03  # of the allowed error, for the part that the correction takes away
EARLIEST, LATEST = 0.75, 1.05  # theta; the correction is well conditioned there


class Landing(NamedTuple):
    """`landed`: the pair is on the surface, nobody else has left the mode, and `flat` is as
    accurate as a step."""

    landed: Flag
    theta: Scalar
    flat: Array
    motion: Motion
    looks: Integer


class _Look(NamedTuple):
    theta: Scalar
    taken: Scalar
    flat: Array
    motion: Motion
    correction: Array
    arrived: Flag
    looks: Integer


def no_landing(flat: Array, motion: Motion) -> Landing:
    return Landing(
        jnp.asarray(False), jnp.ones(()), flat, motion, jnp.zeros((), jnp.int32)
    )  # fmt: skip


def land(
    field: Field, mode: Mode, ends: tuple[Array, Array, Array, Array], motion: Motion, dt: Scalar,
    theta: Scalar, pair: Integer, scale: Array,
) -> Landing:  # fmt: skip
    """Newton's method in theta from a guess, until the pair is less than rounding outside.

    `ends`: start, field there, end, field there; `motion` at the end; `scale` of errors.
    """
    sign = jnp.where(mode.above[pair], 1.0, -1.0)

    def look(now: _Look) -> _Look:
        at = now.theta
        flat = hermite(*ends, dt, at) - now.correction
        motion = field.motion(flat, mode)
        defect = motion.velocity - hermite_slope(*ends, dt, at)
        correction = defect * (dt * at * (1 - at) / (2 * (1 - 2 * at)))
        side, speed = sign * motion.h[pair], sign * motion.speed[pair]
        arrived = (side < 0) & (side >= -motion.rounding[pair]) & (now.looks > 0)
        following = at - (side + motion.rounding[pair] / 2) / (speed * dt)
        following = jnp.clip(following, EARLIEST, LATEST)
        return _Look(following, at, flat, motion, correction, arrived, now.looks + 1)

    def searching(now: _Look) -> Flag:
        return ~now.arrived & (now.looks < LOOKS)

    zero = jnp.zeros((), jnp.int32)
    first = _Look(theta, theta, ends[2], motion, jnp.zeros_like(ends[0]), jnp.asarray(False), zero)
    end = jax.lax.while_loop(searching, look, first)
    signed = jnp.where(mode.above, end.motion.h, -end.motion.h)
    outside = ~mode.sliding & (signed < -end.motion.rounding)
    clean = ~jnp.any(outside) & (gate_margin(end.motion.gate) >= -GATE_SLACK)
    accurate = jnp.sqrt(jnp.mean((end.correction / scale) ** 2)) <= SHARE
    return Landing(
        end.arrived & clean & accurate, end.taken, end.flat + end.motion.correction, end.motion,
        end.looks,
    )  # fmt: skip
