"""How far a flow is from the conditions it stops at, and the way onto the place where it meets one.

A condition is a gap that falls to 0, such as loss / target - 1. A step that ends beyond it says no
more than that it was passed; where, is sought by regula falsi with halved values (the Illinois
method, Dowell & Jarratt 1971): on shorter steps from the same start, or on a multistep method's own
polynomial. So the end of a flow is as exact as its steps, whatever their length.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..._results import Outcome
from ..._types import Array, Flag, Integer, Scalar
from ...networks import AbstractNetwork
from ...networks.draws import frobenius
from ...tasks import Data
from ..problem import Stops

NEAR = 1e-12  # a gap that is none; below it the loss of sums is rounding
ROUNDINGS = 4  # of the outputs, each by eps of their size, in one look at them
MOST = 100  # looks for one place


class Bracket(NamedTuple):
    """The stop lies after `low`, where the gap is positive, and not after `high` (inf: not known to
    be met). `side`: which end was moved last, -1 or 1; an end that stays has its gap halved."""

    low: Scalar
    high: Scalar
    gap_low: Scalar
    gap_high: Scalar
    side: Integer

    def aim(self) -> Scalar:
        """Where the chord meets 0, inside the bracket; inf if none is known."""
        share = self.gap_low / (self.gap_low - self.gap_high)
        aim = self.low + jnp.clip(share, 0.0, 1.0) * (self.high - self.low)
        middle = self.low + 0.5 * (self.high - self.low)
        middle = jnp.where(middle > self.low, middle, self.high)
        inside = (aim > self.low) & (aim < self.high)
        return jnp.where(jnp.isfinite(self.high), jnp.where(inside, aim, middle), jnp.inf)

    def found(self, t: Scalar, gap: Scalar) -> Flag:
        """Whether t, where the gap is not positive, is the place to within rounding."""
        resolution = 4 * jnp.finfo(t.dtype).eps * jnp.abs(t)
        return (gap >= -NEAR) | (t - self.low <= resolution)

    def moved(self, t: Scalar, gap: Scalar) -> "Bracket":
        """After a look at t. Where the other end was reached and the gap is still open (events came
        between, or the speed is known no better), no stop is known of any more."""
        met = ~(gap > 0)
        high = jnp.where(t >= self.high, jnp.inf, self.high)
        side = jnp.where(met, 1, -1).astype(self.side.dtype)
        again = jnp.where(side == self.side, 0.5, 1.0)
        return Bracket(
            low=jnp.where(met, self.low, t),
            high=jnp.where(met, t, high),
            gap_low=jnp.where(met, again * self.gap_low, gap),
            gap_high=jnp.where(met, gap, again * self.gap_high),
            side=side,
        )


class Hunt(NamedTuple):
    """`gaps`: of every condition where the flow stands (not positive: met); `bracket`: of the stop
    that was passed by a trial step."""

    gaps: Array
    bracket: Bracket


class _Look(NamedTuple):
    bracket: Bracket
    gaps: Array
    looks: Integer


def watched_stops(stops: Stops) -> tuple[Outcome, ...]:
    """What the flow ends as by each of `gaps`; of several that are met the last counts."""
    outcomes = {
        Outcome.STEADY_STATE: (stops.steady,),
        Outcome.TARGET_REACHED: (stops.loss, stops.residual),
    }
    return tuple(end for end, targets in outcomes.items() for t in targets if t is not None)


def gaps_at(
    stops: Stops, data: Data, weights: AbstractNetwork, speed: Scalar, peak: Scalar
) -> Array:
    """value / target - 1 of every condition; none (0) if it is met by less than outputs are rounded
    by, since no step can be told to lead to a place nearer. `speed`, over the `peak`, is
    `steady`'s."""
    outputs = data.outputs(weights)
    residual, size = frobenius(data.residual(outputs)), frobenius(outputs)
    # Of the residual, relative to it; of the loss, which is of second order in it, twice that. At
    # the target it is less by as much as the residual there is larger.
    noise = ROUNDINGS * jnp.finfo(size.dtype).eps * size / jnp.where(residual > 0, residual, 1)
    gaps = []
    if stops.steady is not None:
        gaps.append(_gap(speed, stops.steady * peak, noise))
    if stops.loss is not None:
        gaps.append(_gap(data.value(outputs), stops.loss, 2 * noise, 0.5))
    if stops.residual is not None:
        gaps.append(_gap(residual, stops.residual, noise))
    return jnp.stack(gaps)


def _gap(value: Scalar, target: Scalar, noise: Scalar, order: float = 1.0) -> Scalar:
    """`order`: the residual's in the value."""
    gap = (value - target) / jnp.where(target > 0, target, 1)
    there = noise * jnp.maximum(gap + 1, 0) ** order
    return jnp.where((gap < 0) & (gap >= -there), 0.0, gap)


def begin_hunt(gaps: Array, t: Scalar) -> Hunt:
    """No stop is known of yet, at time t."""
    inf = jnp.full_like(t, jnp.inf)
    return Hunt(gaps, Bracket(t, inf, jnp.min(gaps).astype(t.dtype), inf, jnp.zeros((), int)))


def first_root(
    gaps: Callable[[Scalar], Array], start: Scalar, end: Scalar, first: Array, last: Array
) -> tuple[Scalar, Array]:
    """(t, gaps) in (start, end] where the first condition is met, to within rounding; `first`,
    `last`: the gaps at the ends, none met at the start and one at the end."""

    def searching(now: _Look) -> Flag:
        found = now.bracket.found(now.bracket.high, jnp.min(now.gaps))
        return ~found & (now.looks < MOST)

    def look(now: _Look) -> _Look:
        t = now.bracket.aim()
        seen = gaps(t)
        value = jnp.min(seen)
        kept = jnp.where(value > 0, now.gaps, seen)
        return _Look(now.bracket.moved(t, value), kept, now.looks + 1)

    side = jnp.zeros((), int)
    bracket = Bracket(start, end, jnp.min(first), jnp.min(last), side)
    found = jax.lax.while_loop(searching, look, _Look(bracket, last, side))
    return found.bracket.high, found.gaps


def verdict(outcome: Integer, stops: Stops, gaps: Array) -> Integer:
    """The outcome, or the stop whose gap is closed."""
    for end, gap in zip(watched_stops(stops), gaps, strict=True):
        outcome = jnp.where(gap <= 0, jnp.asarray(end.value, outcome.dtype), outcome)
    return outcome
