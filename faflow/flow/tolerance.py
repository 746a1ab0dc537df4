"""The error that a step may make, and how it follows a flow that starts from small weights.

Where the weights are far below atol / rtol, atol + rtol |w| bounds nothing: any step passes, up to
one across a whole saddle. Such a flow starts near the saddle W = 0 and leaves it along modes that
grow from what they were at the start, the later ones hidden meanwhile behind those that came first.
So two things follow it. atol is at most rtol times the size of the smallest layer. And both
tolerances are multiplied by the speed over the largest speed so far, since between two saddles'
escapes nothing but the hidden mode moves; down to what that mode was at the start.
"""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Flag, Scalar
from ..rules import Forecast
from ..solvers import norm
from .problem import FlowProblem, Numerics

SMALL = 0.1  # of atol: weights are small if rtol times their size at the start is less


class Pace(NamedTuple):
    """`speed`: ||dy|| / dt over the last step that was kept; `fastest`: the largest so far. Both 0
    where tolerances do not follow."""

    speed: Scalar
    fastest: Scalar


class Tolerance(eqx.Module):
    """What a step is held to; `first`: the state at t0, in one vector, whose leaves `ends`."""

    numerics: Numerics
    first: Array
    ends: tuple[int, ...] = eqx.field(static=True)

    def follows(self) -> Flag:
        """Whether the tolerances follow the flow: it starts from small weights."""
        numerics = self.numerics
        small = numerics.rtol * self.smallest(self.first) < SMALL * numerics.atol
        return numerics.atol_scales & small

    def smallest(self, state: Array) -> Scalar:
        """The root mean square of the leaf where it is least, without those that are 0 at t0."""
        return smallest_leaf(self._parts(state), self._parts(self.first))

    def at_rest(self) -> Pace:
        zero = jnp.zeros((), self.first.dtype)
        return Pace(zero, zero)

    def moved(self, pace: Pace, change: Array, dt: Scalar, kept: Flag) -> Pace:
        """After a step by `change`."""
        if self.numerics.step is not None:
            return pace

        def look() -> Pace:
            speed = norm(change) / dt
            return Pace(speed, jnp.maximum(speed, pace.fastest))

        return jax.lax.cond(self.follows() & kept, look, lambda: pace)

    def plain(self, share: Scalar | float = 1.0, size: Scalar | float = 0.0):
        """(rtol, atol) of a flow whose tolerances do not follow it; as `Numerics.tolerances`."""
        return self.numerics.tolerances(share, size)

    def at(
        self, state: Array, pace: Pace, share: Scalar | float = 1.0, size: Scalar | float = 0.0
    ) -> tuple[Scalar, Scalar]:
        """(rtol, atol) for a step from `state`. `share`: of both, that `tail` asks for; `size`: see
        `Numerics.tolerances`."""
        if self.numerics.step is not None:
            return self.plain(share, size)
        numerics, like = self.numerics, self.first.dtype

        def follow() -> tuple[Scalar, Scalar]:
            now = self.smallest(state)
            least = self.smallest(self.first) * numerics.rtol / numerics.atol
            foldings = jnp.maximum(-jnp.log(least), 1)
            moving = pace.speed / jnp.where(pace.fastest > 0, pace.fastest, 1)
            moving = jnp.where(pace.fastest > 0, moving, 1)
            moving = jnp.minimum(share, jnp.clip(moving, least, 1) / foldings)
            atol = jnp.minimum(numerics.atol, numerics.rtol * now)
            return numerics.tolerances(moving, now, atol)

        rtol, atol = jax.lax.cond(self.follows(), follow, lambda: self.plain(share, size))
        return rtol.astype(like), atol.astype(like)

    def _parts(self, state: Array) -> list[Array]:
        return [state[start:end] for start, end in itertools.pairwise((0, *self.ends))]


def smallest_leaf(leaves: list[Array], at_start: list[Array]) -> Scalar:
    """min_l sqrt(mean_i w_li^2) over leaves that are not 0 at the start; inf if all are."""
    sizes = jnp.stack([norm(leaf) / leaf.size**0.5 for leaf in leaves])
    there = jnp.stack([jnp.any(leaf != 0) for leaf in at_start])
    return jnp.min(jnp.where(there, sizes, jnp.inf))


def tolerance(problem: FlowProblem, numerics: Numerics, first: Array) -> Tolerance:
    """Of a flow that starts, at t0, from the state `first`. What a rule predicts of its laws is not
    looked at."""
    rule = problem.rule
    state = jax.eval_shape(rule.init, problem.weights, problem.feedback, problem.data)
    leaves = jax.tree.leaves(state[0] if isinstance(rule, Forecast) else state)
    return Tolerance(numerics, first, tuple(itertools.accumulate(leaf.size for leaf in leaves)))
