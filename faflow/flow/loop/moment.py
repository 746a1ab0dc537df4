"""Where in time a flow stands, and the step from there.

In float64 a step is as long as the two times that it lies between are apart, to 16 digits of t. In
float32 t has seven: a step of 1e-7 t would not move it, and ten times that would be 5 % off. So
there a time is a sum t + lost (compensated summation; Knuth's two-sum has no branch), and a solver
is told of a step as of one from 0, whose length is not rounded.
"""

from typing import Any, NamedTuple

import diffrax
import jax.numpy as jnp

from ..._types import Array, Flag, PyTree, Scalar
from ..problem import Numerics


class Span(NamedTuple):
    """A step to `end`, as the solver is told, and onto t + `lost`; `cut`: that is the target."""

    end: Scalar
    cut: Flag
    t: Scalar
    lost: Scalar | None


def nothing_lost(t: Scalar, numerics: Numerics) -> Scalar | None:
    """None where t itself is the time. The way back along steps (`adjoint`) knows it alone."""
    return jnp.zeros_like(t) if t.dtype == jnp.float32 and numerics.adjoint is None else None


def step_ahead(t: Scalar, lost: Scalar | None, dt: Scalar, target: Scalar) -> Span:
    """A step that would end within 1 % of the target is stretched onto it."""
    if lost is None:
        cut = t + 1.01 * dt >= target
        end = jnp.where(cut, target, t + dt)
        return Span(end, cut, end, None)
    left = jnp.maximum((target - t) - lost, resolution(t, lost))
    cut = 1.01 * dt >= left
    h, zero = jnp.where(cut, left, dt), jnp.zeros_like(t)
    later, rest = _sum(t, h)
    later, rest = _sum(later, rest + lost)
    # Rounding alone brings no flow to its target.
    before = jnp.minimum(later, jnp.nextafter(target, -jnp.inf))
    later, rest = before, rest + (later - before)
    return Span(h, cut, jnp.where(cut, target, later), jnp.where(cut, zero, rest))


def elapsed(before: Any, after: Any) -> Scalar:
    """From one carry to the other."""
    t = after.t - before.t
    return t if before.lost is None else t + (after.lost - before.lost)


def resolution(t: Scalar, lost: Scalar | None) -> Scalar:
    """The shortest step that time can tell."""
    eps = jnp.finfo(t.dtype).eps
    return (eps if lost is None else eps**2) * jnp.abs(t)


def told_from(
    term: diffrax.ODETerm, t: Scalar, lost: Scalar | None
) -> tuple[diffrax.ODETerm, Scalar]:
    """The field as the solver is told of it, and its time of now."""
    if lost is None:
        return term, t

    def field(since: Any, state: Array, args: Any) -> PyTree:
        return term.vf(t + (lost + since), state, args)

    return diffrax.ODETerm(field), jnp.zeros_like(t)


def _sum(a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """a + b, and what rounding took from it."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
