"""What stability alone will demand of an explicit Runge-Kutta method, read off its own steps.

Where the last two stages belong to the same time, z = h |f(Y_s) - f(Y_{s-1})| / |Y_s - Y_{s-1}| is
h |lambda| of the fastest direction, at no field evaluation (Hairer & Wanner 1996, section IV.2).
No step is longer than boundary / |lambda|. So, as long as |lambda| stays what it is,

    z (t1 - t) / (h boundary)

steps are to come whatever the tolerance, and that is known long before the steps are at the limit:
at tight tolerances accuracy holds them far below it for most of a flow.
"""

from typing import NamedTuple

import diffrax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Integer, Scalar
from .vectors import norm

CLOSE = 0.8  # share of the boundary of stability that counts as being at it
CALM = 6  # steps in a row that speak against, after which the count begins anew
RESOLVED = 16  # units in the last place of the state that the last two stages are apart, or more


class Demand(NamedTuple):
    """Steps demanded by stability above which a step speaks for another method: `early`, or, from a
    step at the boundary, `late`. `steps` that speak so are enough."""

    early: Scalar | float
    late: Scalar | float
    steps: Integer | np.integer


class StiffnessWatch(NamedTuple):
    """Accepted steps that spoke for another method; those in a row, lately, that did not; and the
    steps that stability demanded when last looked at."""

    votes: Integer
    calm: Integer
    demanded: Scalar


def watch_stiffness() -> StiffnessWatch:
    """A watch that has seen no step."""
    zero = jnp.zeros((), int)
    return StiffnessWatch(zero, zero, jnp.zeros(()))


def watched(
    watch: StiffnessWatch,
    tableau: diffrax.ButcherTableau,
    stages: Array,
    size: Scalar,
    ahead: Scalar,
    demand: Demand,
) -> StiffnessWatch:
    """After one more accepted step; `stages`: h k_i, a row each; `size`: the norm of the state;
    `ahead`: steps to come if all were as long as this one."""
    least = RESOLVED * jnp.finfo(stages.dtype).eps * size
    share = step_times_rate(tableau, stages, least) / real_boundary(tableau)
    return voted(watch, share, share * ahead, demand)


def voted(watch: StiffnessWatch, share: Scalar, demanded: Scalar, demand: Demand) -> StiffnessWatch:
    """After one more accepted step, of this share of the longest that is stable, with so many
    steps to come that stability demands."""
    vote = demanded > jnp.where(share > CLOSE, demand.late, demand.early)
    calm = jnp.where(vote, 0, watch.calm + 1)
    votes = jnp.where(calm >= CALM, 0, watch.votes + vote.astype(int))
    return StiffnessWatch(votes, calm, demanded)


def step_times_rate(
    tableau: diffrax.ButcherTableau, stages: Array, least: Scalar | float = 0.0
) -> Scalar:
    """h |lambda| of the fastest direction that the last two stages differ in; 0 if they are no
    more than `least` apart: what they differ in is then rounding."""
    last, before = (np.asarray(row) for row in (tableau.a_lower[-1], tableau.a_lower[-2]))
    weights = last - np.append(before, 0.0)
    rise = stages[-1] - stages[-2]
    # Term by term, which fuses into one pass; a product with the weights would not.
    apart = sum((float(w) * stages[i] for i, w in enumerate(weights) if w), 0 * rise)
    high, wide = norm(rise), norm(apart)
    told = wide > least
    return jnp.where(told, high / jnp.where(told, wide, 1), 0)


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
