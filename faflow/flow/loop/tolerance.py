"""The error that a step may make, and how it follows a flow that starts from small weights.

Where the weights are far below atol / rtol, atol + rtol |w| bounds nothing: any step passes, up to
one across a whole saddle. Such a flow starts near the saddle W = 0 and leaves it along modes that
grow from what they were at the start, the later ones hidden meanwhile behind those that came first.
So two things follow it. atol is at most rtol times the size of the smallest layer. And both
tolerances are multiplied by the speed over the largest speed so far, since between two saddles'
escapes nothing but the hidden mode moves; down to what that mode was at the start.
"""

import itertools
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Flag, PyTree, Scalar
from ...solvers import RKC2, norm
from ..problem import FlowProblem, Numerics
from ..sensitivity.variation import varied

SMALL_SHARE = 0.1  # of atol: weights are small if rtol times their size at the start is less

ADDING = 100  # (rtol times ADDING^(2/3) rtol^(1/3)) x rtol^(-1/3) steps are some tens of rtol


class Pace(NamedTuple):
    """`speed`: ||dy|| / dt over the last step that was kept; `fastest`: the largest so far (None
    where tolerances can't follow)."""

    speed: Scalar
    fastest: Scalar | None


class Tolerance(eqx.Module):
    """What a step is held to. `begun`: the root mean square, at t0, of the state's leaf where it is
    least, without those that are 0 then; `there` (leaves,): which are not. `ends`: of the leaves in
    the state as one vector."""

    numerics: Numerics
    begun: Scalar
    there: Array
    ends: tuple[int, ...] = eqx.field(static=True)

    def may_follow(self) -> bool:
        """Whether a flow that starts from small weights is followed at all."""
        return bool(self.numerics.atol_scales) and self.numerics.step is None

    def follows(self) -> Flag | bool:
        """Whether the tolerances follow the flow: it starts from small weights."""
        if not self.numerics.atol_scales:
            return False
        return self.numerics.rtol * self.begun < SMALL_SHARE * self.numerics.atol

    def at_rest(self) -> Pace:
        zero = jnp.zeros_like(self.begun)
        return Pace(zero, zero if self.may_follow() else None)

    def moved(self, pace: Pace, change: Array, dt: Scalar, kept: Flag) -> Pace:
        """After a step by `change`."""
        if self.numerics.step is not None:
            return pace
        speed = jnp.where(kept, norm(change) / jnp.where(kept, dt, 1), pace.speed)
        return Pace(speed, None if pace.fastest is None else jnp.maximum(speed, pace.fastest))

    def to_begin(self) -> tuple[Scalar, Scalar]:
        """(rtol, atol) of the first step."""
        plain = self.numerics.tolerances()
        if not self.numerics.atol_scales:
            return plain
        small, follows = self._followed(self.begun, 1.0), self.follows()
        return jnp.where(follows, small[0], plain[0]), jnp.where(follows, small[1], plain[1])

    def at(
        self, state: Array, pace: Pace, share: Scalar | float = 1.0, size: Scalar | float = 0.0
    ) -> tuple[Scalar, Scalar]:
        """(rtol, atol) for a step from `state`. `share`: of both, that `tail` asks for; `size`: see
        `Numerics.tolerances`."""
        plain = self.numerics.tolerances(share, size)
        if pace.fastest is None:
            return plain
        fastest = pace.fastest

        def follow() -> tuple[Scalar, Scalar]:
            moving = pace.speed / jnp.where(fastest > 0, fastest, 1)
            moving = jnp.where(fastest > 0, moving, 1)
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
    if not numerics.atol_scales:
        return Tolerance(numerics, jnp.zeros((), first.dtype), jnp.zeros(0, bool), ())
    state = jax.eval_shape(partial(_moving, problem))
    ends = tuple(itertools.accumulate(leaf.size for leaf in jax.tree.leaves(state)))
    there = jnp.stack([jnp.any(leaf != 0) for leaf in _parts(first, ends)])
    return Tolerance(numerics, _smallest(first, ends, there), there, ends)


def settled(problem: FlowProblem, numerics: Numerics) -> Numerics:
    """Numerics without `atol_scales` where the weights are not small, so that a program has no part
    for what can't happen. Of numbers that are known: not inside another program."""
    if not numerics.atol_scales:
        return numerics
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(_moving(problem))]
    sizes = [np.linalg.norm(leaf) / leaf.size**0.5 for leaf in leaves if np.any(leaf)]
    small = float(numerics.rtol) * min(sizes, default=np.inf) < SMALL_SHARE * float(numerics.atol)
    return numerics if small else replace(numerics, atol_scales=False)


def _moving(problem: FlowProblem) -> PyTree:
    """The rule's state at the start, without what it predicts of its laws and derivatives."""
    return varied(problem.rule).init(problem.weights, problem.feedback, problem.data)


def _smallest(state: Array, ends: tuple[int, ...], there: Array) -> Scalar:
    sizes = jnp.stack([norm(leaf) / leaf.size**0.5 for leaf in _parts(state, ends)])
    least = jnp.finfo(sizes.dtype).tiny ** 0.5  # squares of less are 0
    return jnp.maximum(jnp.min(jnp.where(there, sizes, jnp.inf)), least)


def _parts(state: Array, ends: tuple[int, ...]) -> list[Array]:
    return [state[start:end] for start, end in itertools.pairwise((0, *ends))]
