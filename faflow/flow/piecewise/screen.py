"""Where inside a trial step the mode ends: sign changes of h, gates that leave [0, 1]."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, Scalar
from .mode import first_index

BISECTIONS = 50


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

    def until(self, theta: Scalar) -> "Cubics":
        """The same curves on [0, theta], stretched to [0, 1]."""
        return Cubics(
            self.start, theta * self.slope, theta**2 * self.bend, theta**3 * self.twist
        )  # fmt: skip


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
    low, where = first_low(f, -rounding)
    left = watched & low

    def earlier(now):
        # The most promising pair's root; then whoever is still outside before that time.
        left, where, _, _ = now
        inside = jnp.where(left, f.start, 1.0)
        at = f(where)
        guess = jnp.where(left, where * inside / jnp.maximum(inside - at, 1e-300), jnp.inf)
        pair = first_index(guess == jnp.min(guess))
        mine = f.at(pair)
        # A pair that starts a rounding error outside is looked at from where it starts.
        theta = _root(mine, jnp.minimum(-rounding[pair] / 2, mine.start), where[pair])
        low, sooner = first_low(f.until(theta), -rounding)
        left = left & low & (jnp.arange(left.size, dtype=pair.dtype) != pair)
        return left, theta * sooner, theta, pair

    none = (left, where, jnp.ones(()), jnp.zeros((), jnp.int32))
    _, _, theta, pair = jax.lax.while_loop(lambda now: jnp.any(now[0]), earlier, none)
    return Crossing(jnp.any(left), theta, pair)


def _root(f: Cubics, level: Scalar, end: Scalar) -> Scalar:
    """Where one pair's cubic falls through `level` before `end`, from the inner side."""

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        out = f(middle) < level
        return jnp.where(out, low, middle), jnp.where(out, middle, high)

    return jax.lax.fori_loop(0, BISECTIONS, halve, (jnp.zeros(()), end))[0]


def next_crossing(above: Array, h: Array, speed: Array, watched: Array) -> tuple[Scalar, Integer]:
    """The time to the first crossing if all pairs kept their speed, and the pair; inf if none."""
    inward = jnp.where(above, speed, -speed)
    going = watched & (inward < 0)
    time = jnp.where(going, jnp.abs(h) / jnp.where(going, -inward, 1.0), jnp.inf)
    soonest = jnp.min(time)
    return soonest, first_index(time == soonest)


def margin(low: Array, high: Array) -> Scalar:
    """How far inside its bounds the sliding pair is that is nearest to leaving them."""
    return jnp.maximum(jnp.min(jnp.minimum(low, high)), -1.0)
