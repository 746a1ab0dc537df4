"""Where inside a trial step the mode ends: sign changes of h, gates that leave [0, 1]."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, Scalar

LISTED = 32  # violating pairs whose roots are looked at; the rest shows in the next trial
BISECTIONS = 50
GATE_SLACK = 1e-9  # a gate this far outside [0, 1] has left it


class Cubics(NamedTuple):
    """Per pair the cubic Hermite f(theta) of the signed pre-activation, theta in [0, 1].

    f > 0 on the pair's own side of 0.
    """

    start: Array
    slope: Array
    bend: Array
    twist: Array

    def __call__(self, theta: Array) -> Array:
        return self.start + theta * (self.slope + theta * (self.bend + theta * self.twist))

    def at(self, index: Array) -> "Cubics":
        return Cubics(*(part[index] for part in self))


def cubics(above: Array, h0: Array, d0: Array, h1: Array, d1: Array, dt: Scalar) -> Cubics:
    sign = jnp.where(above, 1.0, -1.0)
    f0, f1, s0, s1 = sign * h0, sign * h1, sign * d0 * dt, sign * d1 * dt
    return Cubics(f0, s0, 3 * (f1 - f0) - 2 * s0 - s1, 2 * (f0 - f1) + s0 + s1)


def first_low(f: Cubics, level: Array) -> tuple[Array, Array]:
    """Whether f falls below `level` on (0, 1], and a theta where it is below: the minimum if that
    is inside and low enough, else the end."""
    disc = f.bend**2 - 3 * f.twist * f.slope
    root = jnp.sqrt(jnp.maximum(disc, 0.0))
    # The minimum of the cubic, written twice so that neither form cancels.
    falling = (root - f.bend) / jnp.where(f.twist == 0, 1.0, 3 * f.twist)
    rising = -f.slope / jnp.where(f.bend + root == 0, 1.0, f.bend + root)
    theta = jnp.where(f.bend < 0, falling, rising)
    inside = (disc > 0) & (theta > 0) & (theta < 1) & ~((f.bend < 0) & (f.twist == 0))
    dips = inside & (f(jnp.where(inside, theta, 1.0)) < level)
    ends_low = f.start + f.slope + f.bend + f.twist < level
    return dips | ends_low, jnp.where(dips, theta, 1.0)


class Crossing(NamedTuple):
    """`found`: a watched pair left its side; the first at `theta`, and which `pair`."""

    found: Flag
    theta: Scalar
    pair: Integer


def first_crossing(f: Cubics, rounding: Array, watched: Array) -> Crossing:
    """The first pair that leaves its side inside a step.

    A pair has left when f < -rounding; the root is taken at -rounding / 2, so that a step that
    ends there has arrived beyond doubt and yet not left.
    """
    low_somewhere, where = first_low(f, -rounding)
    left = watched & low_somewhere
    found = jnp.any(left)

    def roots(_):
        (index,) = jnp.nonzero(left, size=LISTED, fill_value=0)
        mine, real = f.at(index), left[index]
        # A pair that starts a rounding error outside is looked at from where it starts.
        level = jnp.minimum(-rounding[index] / 2, mine.start)

        def halve(_, bounds):
            low, high = bounds
            middle = (low + high) / 2
            out = mine(middle) < level
            return jnp.where(out, low, middle), jnp.where(out, middle, high)

        bounds = (jnp.zeros(LISTED), where[index])
        low, _ = jax.lax.fori_loop(0, BISECTIONS, halve, bounds)
        first = jnp.argmin(jnp.where(real, low, 2.0))
        return low[first], index[first]

    theta, pair = jax.lax.cond(found, roots, lambda _: (jnp.ones(()), jnp.zeros((), int)), None)
    return Crossing(found, theta, pair)


def next_crossing(above: Array, h: Array, speed: Array, rounding: Array, watched: Array):
    """The time to the first crossing if all pairs kept their speed, and the pair; inf if none."""
    inward = jnp.where(above, speed, -speed)
    going = watched & (jnp.abs(h) > rounding) & (inward < 0)
    time = jnp.where(going, jnp.abs(h) / jnp.where(going, -inward, 1.0), jnp.inf)
    pair = jnp.argmin(time)
    return time[pair], pair


def gate_margin(gate: Array) -> Scalar:
    """How far inside [0, 1] the gate is that is nearest to leaving, clipped to at least -1."""
    inside = jnp.minimum(gate, 1 - gate)
    return jnp.maximum(jnp.min(inside), -1.0)


def hold_margin(gate: Array, pull: Array) -> Scalar:
    """As `gate_margin`, and the least pull of the surfaces."""
    return jnp.minimum(jnp.maximum(jnp.min(pull), -1.0), gate_margin(gate))


def first_exit(margin_at, start: Scalar, end: Scalar) -> Scalar:
    """The theta where the margin falls through -GATE_SLACK / 2 (Illinois' false position)."""

    def move(_, carry):
        low, f_low, high, f_high, side = carry
        theta = jnp.where(f_low > f_high, (low * f_high - high * f_low) / (f_high - f_low), high)
        theta = jnp.where((theta > low) & (theta < high), theta, (low + high) / 2)
        f = margin_at(theta) + GATE_SLACK / 2
        out = f < 0
        # The bound that stays twice has its value halved.
        f_low_kept = jnp.where(out & (side == 1), f_low / 2, f_low)
        f_high_kept = jnp.where(~out & (side == -1), f_high / 2, f_high)
        return (
            jnp.where(out, low, theta),
            jnp.where(out, f_low_kept, f),
            jnp.where(out, theta, high),
            jnp.where(out, f, f_high_kept),
            jnp.where(out, 1, -1),
        )

    first = (jnp.zeros(()), start + GATE_SLACK / 2, jnp.ones(()), end + GATE_SLACK / 2,
             jnp.zeros((), int))  # fmt: skip
    low, *_ = jax.lax.fori_loop(0, 8, move, first)
    return low
