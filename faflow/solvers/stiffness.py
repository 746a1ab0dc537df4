"""Whether the steps of an explicit Runge-Kutta method are held down by stability, not accuracy.

Where the last two stages belong to the same time, h |f(Y_s) - f(Y_{s-1})| / |Y_s - Y_{s-1}| is
h |lambda| of the fastest direction, at no field evaluation (Hairer & Wanner 1996, section IV.2).
Close to the method's boundary of stability in most of its steps, the method goes on at a step that
no loosening of the tolerance would lengthen.
"""

from typing import NamedTuple

import diffrax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Flag, Integer, Scalar
from .vectors import norm

CLOSE = 0.9  # share of the boundary of stability that counts as close to it
STEPS = 15  # close to it that call a flow stiff
CALM = 6  # steps in a row, far from it, after which the count begins anew


class StiffnessWatch(NamedTuple):
    """Accepted steps close to the boundary of stability; those in a row, lately, that were not."""

    close: Integer
    calm: Integer

    @property
    def stiff(self) -> Flag:
        return self.close >= STEPS


def watch_stiffness() -> StiffnessWatch:
    zero = jnp.zeros((), int)
    return StiffnessWatch(zero, zero)


def watched(
    watch: StiffnessWatch, tableau: diffrax.ButcherTableau, stages: Array
) -> StiffnessWatch:
    """After one more accepted step; `stages`: h k_i, a row each."""
    close = step_times_rate(tableau, stages) > CLOSE * real_boundary(tableau)
    calm = jnp.where(close, 0, watch.calm + 1)
    count = watch.close + close.astype(int)
    return StiffnessWatch(jnp.where(calm >= CALM, 0, count), calm)


def step_times_rate(tableau: diffrax.ButcherTableau, stages: Array) -> Scalar:
    """h |lambda| of the fastest direction that the last two stages differ in."""
    last, before = (np.asarray(row) for row in (tableau.a_lower[-1], tableau.a_lower[-2]))
    weights = last - np.append(before, 0.0)
    rise = stages[-1] - stages[-2]
    # Term by term, which fuses into one pass; a product with the weights would not.
    apart = sum((float(w) * stages[i] for i, w in enumerate(weights) if w), 0 * rise)
    high, wide = norm(rise), norm(apart)
    return jnp.where(wide > 0, high / jnp.where(wide > 0, wide, 1), 0)


def tells_stiffness(tableau: diffrax.ButcherTableau) -> bool:
    """Whether the last two stages belong to the same time, the last being the step's end."""
    return bool(tableau.fsal and tableau.c[-1] == tableau.c[-2] == 1)


def real_boundary(tableau: diffrax.ButcherTableau) -> float:
    """The largest r such that |R(z)| <= 1 for -r <= z <= 0, R the stability function."""
    stages = len(tableau.b_sol)
    a = np.zeros((stages, stages))
    for stage, row in enumerate(tableau.a_lower, start=1):
        a[stage, : len(row)] = row
    power, coefficients = np.ones(stages), [1.0]
    for _ in range(stages):
        coefficients.append(float(np.asarray(tableau.b_sol) @ power))
        power = a @ power
    z = np.linspace(0.0, 20.0, 20_001)
    beyond = np.abs(np.polynomial.polynomial.polyval(-z, coefficients)) > 1 + 1e-9
    return float(z[np.argmax(beyond)])
