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
from ..solvers import RKC2, norm
from .problem import FlowProblem, Numerics

SMALL = 0.1  # of atol: weights are small if rtol times their size at the start is less

ADDING = 100  # (rtol times ADDING^(2/3) rtol^(1/3)) x rtol^(-1/3) steps are some tens of rtol


class Pace(NamedTuple):
    """`speed`: ||dy|| / dt over the last step that was kept; `fastest`: the largest so far. Both 0
    where tolerances do not follow."""

    speed: Scalar
    fastest: Scalar


class Tolerance(eqx.Module):
    """What a step is held to. `begun`: the root mean square, at t0, of the state's leaf where it is
    least, without those that are 0 then; `there` (leaves,): which are not. `ends`: of the leaves in
    the state as one vector."""

    numerics: Numerics
    begun: Scalar
    there: Array
    ends: tuple[int, ...] = eqx.field(static=True)

    def follows(self) -> Flag:
        """Whether the tolerances follow the flow: it starts from small weights."""
        numerics = self.numerics
        return numerics.atol_scales & (numerics.rtol * self.begun < SMALL * numerics.atol)

    def at_rest(self) -> Pace:
        zero = jnp.zeros_like(self.begun)
        return Pace(zero, zero)

    def moved(self, pace: Pace, change: Array, dt: Scalar, kept: Flag) -> Pace:
        """After a step by `change`."""
        if self.numerics.step is not None:
            return pace

        def look() -> Pace:
            speed = norm(change) / dt
            return Pace(speed, jnp.maximum(speed, pace.fastest))

        return jax.lax.cond(self.follows() & kept, look, lambda: pace)

    def to_begin(self) -> tuple[Scalar, Scalar]:
        """(rtol, atol) of the first step."""
        plain, small = self.numerics.tolerances(), self._followed(self.begun, 1.0)
        follows = self.follows()
        return jnp.where(follows, small[0], plain[0]), jnp.where(follows, small[1], plain[1])

    def at(
        self, state: Array, pace: Pace, share: Scalar | float = 1.0, size: Scalar | float = 0.0
    ) -> tuple[Scalar, Scalar]:
        """(rtol, atol) for a step from `state`. `share`: of both, that `tail` asks for; `size`: see
        `Numerics.tolerances`."""
        plain = self.numerics.tolerances(share, size)
        if self.numerics.step is not None:
            return plain

        def follow() -> tuple[Scalar, Scalar]:
            moving = pace.speed / jnp.where(pace.fastest > 0, pace.fastest, 1)
            moving = jnp.where(pace.fastest > 0, moving, 1)
            return self._followed(_smallest(state, self.ends, self.there), moving, share)

        return jax.lax.cond(self.follows(), follow, lambda: plain)

    def _followed(self, now: Scalar, moving: Scalar | float, share: Scalar | float = 1.0):
        """`now`: the size of the smallest leaf; `moving`: the speed over the largest so far."""
        numerics = self.numerics
        least = self.begun * numerics.rtol / numerics.atol
        foldings = jnp.maximum(-jnp.log(least), 1)
        moving = jnp.minimum(share, self._portion() * jnp.clip(moving, least, 1) / foldings)
        return numerics.tolerances(moving, now, jnp.minimum(numerics.atol, numerics.rtol * now))

    def _portion(self) -> Scalar | float:
        """What a step may err of what it may by other methods: errors of RKC2 are as large as they
        are estimated, and add up over rtol^(-1/3) steps an e-folding."""
        if not isinstance(self.numerics.build_solver(), RKC2):
            return 1.0
        return jnp.minimum(ADDING * jnp.sqrt(self.numerics.rtol), 1)


def tolerance(problem: FlowProblem, numerics: Numerics, first: Array) -> Tolerance:
    """Of a flow that starts, at t0, from the state `first`. What a rule predicts of its laws is not
    looked at."""
    rule = problem.rule
    state = jax.eval_shape(rule.init, problem.weights, problem.feedback, problem.data)
    leaves = jax.tree.leaves(state[0] if isinstance(rule, Forecast) else state)
    ends = tuple(itertools.accumulate(leaf.size for leaf in leaves))
    there = jnp.stack([jnp.any(leaf != 0) for leaf in _parts(first, ends)])
    return Tolerance(numerics, _smallest(first, ends, there), there, ends)


def _smallest(state: Array, ends: tuple[int, ...], there: Array) -> Scalar:
    sizes = jnp.stack([norm(leaf) / leaf.size**0.5 for leaf in _parts(state, ends)])
    least = jnp.finfo(sizes.dtype).tiny ** 0.5  # squares of less are 0
    return jnp.maximum(jnp.min(jnp.where(there, sizes, jnp.inf)), least)


def _parts(state: Array, ends: tuple[int, ...]) -> list[Array]:
    return [state[start:end] for start, end in itertools.pairwise((0, *ends))]
