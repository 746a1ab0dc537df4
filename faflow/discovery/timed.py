"""Laws that depend on the time: functions of state and time that no lesson changes.

The time is made the last entry of the state and moves at rate 1, and the orbits of that state are
counted as any others are. Under momentum, m W'' + gamma W' = g, the state is (W, W'): e^{gamma t/m}
times an angular momentum is such a law, and 0 for ever from rest, W' = 0. So a start from rest is
asked about by itself. Let T be the tangent space of its orbit and R the directions in which starts
from rest differ: what distinguishes them and is kept are dim(T + R) - dim T functions, and
D + 1 - dim(T + R) relations hold along all of them (gradients: Marcotte, Gribonval & Peyre 2024).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..rules import AbstractLearningRule, KolenPollack, Momentum, WeightDecay
from .abstract import AbstractFields
from .lie import Orbit, find_orbits, independent_laws, rank_of
from .polynomials import PolynomialLaws, find_polynomials, gradients


class TimedFields(AbstractFields):
    """The fields of `inner`, with the time as the last entry of the state."""

    inner: AbstractFields

    @property
    def counted(self) -> tuple[int, ...]:
        return (*self.inner.counted, self.size)

    @property
    def size(self) -> int:
        """Entries of the inner state."""
        return self.inner.random_states(np.random.default_rng(0), 1).shape[1]

    @property
    def speeds(self) -> tuple[int, ...]:
        return self.inner.speeds

    @property
    def kinked(self) -> bool:
        return self.inner.kinked

    def random_states(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Generic states at times in [0, 1)."""
        return np.hstack([self.inner.random_states(rng, count), rng.random((count, 1))])

    def resting_states(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """The same without speeds."""
        states = self.random_states(rng, count)
        states[:, list(self.speeds)] = 0.0
        return states

    def lessons(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
        return self.inner.lessons(rng, shape)

    def __call__(self, flat: Array, lesson: Any) -> Array:
        move = self.inner(flat[:-1], lesson._replace(time=flat[-1]))
        return jnp.append(move, jnp.ones((), move.dtype))


class FromRest(NamedTuple):
    """Of starts from rest: `independent` laws, and `zero` relations that hold along all of them;
    None where a rank has no clear gap."""

    independent: int | None
    zero: int | None


class TimedCount(NamedTuple):
    """`independent` = D + 1 - rank laws of state and time, D + 1 = `size`; `rest`: of a start
    without speeds, where the state has such."""

    size: int
    orbits: tuple[Orbit, ...]
    independent: int | None
    rest: FromRest | None

    @property
    def gap(self) -> float:
        return min(orbit.rank.gap for orbit in self.orbits)


class TimedLaws(NamedTuple):
    """e^{rate t} P for the polynomials P of every rate that was asked about, and how many of them
    are independent."""

    found: tuple[tuple[float, PolynomialLaws], ...]
    independent: int


def timed_rates(rule: AbstractLearningRule, weights: Any) -> tuple[float, ...]:
    """Rates at which laws of this rule may decay: gamma / m of a momentum, lambda (linear laws) and
    2 lambda (quadratic ones) of a decay; () of a rule that has neither."""
    if isinstance(rule, Momentum):
        return tuple(sorted({float(rule.friction / rule.mass), 0.0}, reverse=True))
    twice = {2 * float(rate) for rate in np.ravel(_decays(rule))}
    for law in rule.laws(weights).values():
        twice |= {float(rate) for rate in np.ravel(np.asarray(law.decay))}
    return tuple(sorted({rate / part for rate in twice for part in (1, 2)} - {0.0}, reverse=True))


def _decays(rule: AbstractLearningRule) -> np.ndarray:
    if isinstance(rule, WeightDecay):
        return np.asarray(rule.rates)
    return np.asarray(rule.decay) if isinstance(rule, KolenPollack) else np.zeros(0)


def count_timed(fields: AbstractFields, *, seed: int = 0) -> TimedCount:
    """The laws of these fields that may depend on the time."""
    rng, timed = np.random.default_rng(seed), TimedFields(fields)
    size, orbits = len(timed.counted), find_orbits(timed, rng)
    rest = None
    if timed.speeds:
        rest = _rest(timed, find_orbits(timed, rng, timed.resting_states))
    return TimedCount(size, orbits, independent_laws(size, orbits), rest)


def _rest(fields: TimedFields, orbits: tuple[Orbit, ...]) -> FromRest:
    size = len(fields.counted)
    if independent_laws(size, orbits) is None:
        return FromRest(None, None)
    moving = {*fields.speeds, fields.size}
    starts = np.eye(size)[:, [i for i, at in enumerate(fields.counted) if at not in moving]]
    both = [rank_of(np.linalg.svd(np.hstack([one.frame, starts]))[1]) for one in orbits]
    ranks = {rank.rank for rank in both}
    if len(ranks) > 1 or not all(rank.clear for rank in both):
        return FromRest(None, None)
    union = ranks.pop()
    return FromRest(union - orbits[0].rank.rank, size - union)


def find_timed(
    fields: AbstractFields,
    rates: Sequence[float],
    point: np.ndarray,
    degree: int,
    *,
    seed: int = 0,
) -> TimedLaws:
    """Polynomials P of degree up to `degree` with P' = -rate P along all fields, for every rate.

    `point`: counted entries of a state and the time, where they are counted. ValueError if there
    are too many monomials.
    """
    rng, at = np.random.default_rng(seed), point[:-1]
    state = np.zeros(TimedFields(fields).size)
    state[list(fields.counted)] = at
    found, slopes = [], [np.zeros((0, len(point)))]
    for rate in rates:
        laws = find_polynomials(fields, state, rng, degree, rate)
        found.append((rate, laws))
        if len(laws.coefficients):
            values = laws.coefficients @ np.prod(np.append(at, 1.0)[laws.monomials], axis=1)
            along = gradients(laws.monomials, laws.coefficients, at)
            slopes.append(np.hstack([along, rate * values[:, None]]))
    stacked = np.vstack(slopes)
    sizes = np.linalg.norm(stacked, axis=1, keepdims=True)
    rank = rank_of(np.linalg.svd(stacked / np.where(sizes > 0, sizes, 1.0))[1]).rank
    return TimedLaws(tuple(found), rank if len(stacked) else 0)
