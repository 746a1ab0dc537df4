"""What stays the same during an exact flow."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from ..._types import Array, Flag, Integer, Scalar
from ..loop.tolerance import tolerance
from ..problem import Numerics
from .decisions.dead import Sides
from .field import Field, Motion
from .runge_kutta import Tableau
from .state import State


class Setting(eqx.Module):
    """The field, how it is integrated, from when to when; `limit`: the size that is a blow-up.
    `level`: of the program, of those that a flow can ask for."""

    field: Field
    numerics: Numerics
    t0: Scalar
    t1: Scalar
    limit: Scalar
    table: Tableau = eqx.field(static=True)
    level: int = eqx.field(static=True)

    def slack(self, motion: Motion) -> Scalar:
        """How far outside its bounds a sliding pair may be found. The field is continuous where a
        gate reaches its end: an excess of s costs an error of order s^2."""
        least = jnp.clip(0.01 * jnp.sqrt(self.numerics.rtol), 1e-9, 1e-5)
        return jnp.minimum(jnp.maximum(least, 50 * motion.noise), 1e-2)

    def settle_at(self, flat: Array, near: Array) -> Callable[[Array, Array], Sides]:
        """(above, sliding) to the sides with dead samples settled, at these weights."""
        return lambda above, sliding: self.field.settled(flat, near, above, sliding)

    def error_scale(self, start: Array, end: Array, tail: Scalar) -> Array:
        """The local error allowed in each weight, tolerances times `tail`; never below rounding."""
        most, size = jnp.maximum(jnp.abs(start), jnp.abs(end)), jnp.maximum(rms(start), rms(end))
        rounding = 16 * jnp.finfo(start.dtype).eps
        atol = self._atol(size)
        atol = jnp.maximum(atol * tail, rounding * size)
        rtol = jnp.maximum(self.numerics.rtol * tail, rounding)
        return atol + rtol * jnp.maximum(most, 1e-3 * size)

    def _atol(self, size: Scalar) -> Scalar:
        """atol, at most rtol times the size of the weights if the flow starts from small ones."""
        numerics, field = self.numerics, self.field
        first = field.flat(field.problem.weights)
        follows = tolerance(field.problem, numerics, first).follows()
        return jnp.where(follows, jnp.minimum(numerics.atol, numerics.rtol * size), numerics.atol)


class Look(NamedTuple):
    """A look at the field: where, and what it showed; `partial`: the step's error but
    for its last stage; `dt`, `last`: the trial step, and whether it ends at the `target`."""

    point: Array
    motion: Motion
    partial: Array
    dt: Scalar
    last: Flag
    target: Scalar
    tail: Scalar


class Found(NamedTuple):
    """What a look has led to: the `state`, but for where the flow stands. It `moves` to the point
    looked at, at time `t`, or it `settles` in the mode looked at, where it is; or neither. If
    `pending`, a decision is to begin, brought about by the pairs `causes`."""

    state: State
    t: Scalar
    moves: Flag
    settles: Flag
    pending: Flag
    causes: Array


def in_place(state: State, settles: Flag | None = None) -> Found:
    """The flow does not move, and nobody brings anything about."""
    no = jnp.zeros_like(state.plan.chattered)
    nobody = jnp.zeros_like(state.here.near)
    return Found(state, state.t, no, no if settles is None else settles, no, nobody)


def one_if(flag: Flag) -> Integer:
    return flag.astype(jnp.int32)


def rms(flat: Array) -> Scalar:
    return jnp.sqrt(jnp.mean(flat**2))
