"""The stability polynomials of Runge-Kutta-Chebyshev methods of order 2, and how to choose one.

P_s(z) = 1 - b T_s(w0) + b T_s(w0 + w1 z), T_s the Chebyshev polynomial (Sommeijer, Shampine &
Verwer 1998). With w0 = cosh(x / s), |P_s| <= 1 on the ellipse where |T_s| <= cosh x: it is tangent
to the imaginary axis at 0 and has the semi-axes w0 / w1 (real) and sinh(x / s) / w1. x measures
the damping: the paper's 2/13 is x = 0.555. For s well above x, with g(x) = x coth x - 1,

    real:      the ellipse reaches to z = -2 s^2 g / x^2      (0.653 s^2 at the paper's damping)
    complex:   a pair z is inside if bend := Im^2 / (2 |Re|) < g and
               s^2 >= |Re| x^2 / (2 (g - bend))

so that more stages cover longer real spectra, and more damping covers wider ones.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Integer, Scalar

LEAST_DAMPING = 0.5547001962252291  # sqrt(2 eps), eps = 2/13
MOST_DAMPING = 8.0
MOST_PIECES = 1_000_000
MARGIN = 2.0  # g(x) over the bend that it has to cover


def _gain(x: float) -> float:
    return x / np.tanh(x) - 1


WIDEST_BEND = float(_gain(MOST_DAMPING)) / MARGIN


class Spectrum(NamedTuple):
    """What a step has to be stable for. `radius`: the largest |lambda|. `bend`: the largest
    Im^2 / (2 |Re|) met, `own_bend`: that of the largest lambda."""

    radius: Scalar
    bend: Scalar
    own_bend: Scalar


class StepPlan(NamedTuple):
    """`pieces` equal parts of a step, `stages` in each, with damping x."""

    pieces: Integer
    stages: Integer
    damping: Scalar


def plan(h: Scalar, spectrum: Spectrum, most_stages: Integer) -> StepPlan:
    """The fewest stages whose ellipse holds h times the spectrum.

    A step that would need more than `most_stages` stages, or more damping than 8, is made of
    several pieces, whose cost grows with h instead of sqrt(h).
    """
    dtype = h.dtype
    radius, bend = h * spectrum.radius, h * spectrum.bend
    reach = _stages_squared(radius, jnp.minimum(h * spectrum.own_bend, WIDEST_BEND), bend)[0]
    longest = jnp.square(most_stages.astype(dtype)) - 1
    wanted = jnp.maximum(bend / WIDEST_BEND, reach / longest)
    pieces = jnp.where(jnp.isfinite(wanted), jnp.clip(jnp.ceil(wanted), 1, MOST_PIECES), 1)
    squared, x = _stages_squared(radius / pieces, h * spectrum.own_bend / pieces, bend / pieces)
    stages = jnp.sqrt(1 + jnp.where(jnp.isfinite(squared), squared, 0))
    stages = jnp.clip(jnp.ceil(stages), 2, most_stages.astype(dtype))
    return StepPlan(pieces.astype(jnp.int32), stages.astype(jnp.int32), x)


def _stages_squared(radius: Scalar, own_bend: Scalar, bend: Scalar) -> tuple[Scalar, Scalar]:
    """(s^2 - 1, x)."""
    # x coth x <= 1 + g for x = sqrt(3 g + g^2), within 10 % and from above.
    gain = MARGIN * jnp.minimum(bend, WIDEST_BEND)
    x = jnp.maximum(jnp.sqrt(3 * gain + gain**2), LEAST_DAMPING)
    gain = x / jnp.tanh(x) - 1
    return radius * x**2 / (2 * (gain - jnp.minimum(own_bend, gain / MARGIN))), x


class Terms(NamedTuple):
    """T_j, T_j', T_j'' at w0 and their last increments: sums of positive numbers, so that the
    recurrence is exact to rounding even where w0 - 1 is near the unit of the last place."""

    t: Scalar
    d: Scalar
    dd: Scalar
    t_rise: Scalar
    d_rise: Scalar
    dd_rise: Scalar

    @property
    def b(self) -> Scalar:
        return self.dd / self.d**2

    @property
    def a(self) -> Scalar:
        return 1 - self.b * self.t


def first_terms(delta: Scalar) -> Terms:
    """j = 1, w0 = 1 + delta."""
    one, zero = jnp.ones_like(delta), jnp.zeros_like(delta)
    return Terms(1 + delta, one, zero, delta, one, zero)


def next_terms(now: Terms, delta: Scalar) -> Terms:
    """j + 1 from j: T_{j+1} - T_j = T_j - T_{j-1} + 2 delta T_j, and its derivatives."""
    t_rise = now.t_rise + 2 * delta * now.t
    d_rise = now.d_rise + 2 * delta * now.d + 2 * now.t
    dd_rise = now.dd_rise + 2 * delta * now.dd + 4 * now.d
    return Terms(now.t + t_rise, now.d + d_rise, now.dd + dd_rise, t_rise, d_rise, dd_rise)


def shift_and_scale(stages: Integer, damping: Scalar) -> tuple[Scalar, Scalar]:
    """(w0 - 1, w1 = T_s'(w0) / T_s''(w0)) for w0 = cosh(damping / stages)."""
    s = stages.astype(damping.dtype)
    theta = damping / s
    sinh, cosh = jnp.sinh(theta), jnp.cosh(theta)
    big = jnp.tanh(damping)
    scale = sinh**2 * big / (s * sinh - cosh * big)
    return 2 * jnp.sinh(theta / 2) ** 2, scale
