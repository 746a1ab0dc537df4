"""How far and how wide the spectrum of a field's Jacobian is, by a power method on the field."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._generator import drawing, seeded
from .._types import Flag, Integer, PyTree, Scalar
from .chebyshev import Spectrum
from .vectors import dot, norm

ITERATIONS = 50
SETTLED = 0.01  # relative change of the radius
SAFETY = 1.2
STEEPEST = 0.2  # |Re| counts as at least this share of |lambda|: no ellipse holds pure rotation


class _Search(NamedTuple):
    direction: PyTree  # unit, J is applied to it next
    last: PyTree  # the unit vector before it
    stretch: Scalar  # ||J last||
    radius: Scalar
    bend: Scalar
    own_bend: Scalar
    spent: Integer
    settled: Flag


def estimate_spectrum(
    field: Callable[[PyTree], PyTree],
    y: PyTree,
    slope: PyTree,
    start: PyTree,
    skip: Flag,
    most: Integer | int = ITERATIONS,
) -> tuple[Spectrum, PyTree, Integer]:
    """(spectrum, vector of the largest |lambda|, field evaluations) of the Jacobian at y.

    The nonlinear power method of Sommeijer, Shampine & Verwer 1998: J v by the difference of the
    field (`slope` is its value at y), one evaluation per iteration, from `start` until |lambda|
    moves by less than 1 %. The two latest vectors span a plane; the two eigenvalues of J's
    projection on it may be complex, which one vector cannot tell. `bend` is the largest seen on
    the way. The radius has a safety factor of 1.2. At most `most`
    iterations. `skip`: nothing is done, and zeros are returned.
    """
    dtype = jnp.result_type(*jax.tree.leaves(y))
    size = norm(y)
    apart = jnp.sqrt(jnp.finfo(dtype).eps) * jnp.where(size > 0, size, 1)

    def body(now: _Search) -> _Search:
        moved = jax.tree.map(lambda a, v: a + apart * v, y, now.direction)
        image = jax.tree.map(lambda a, b: (a - b) / apart, field(moved), slope)
        stretch = norm(image)
        real, imaginary = _plane(now, image, stretch)
        radius = jnp.maximum(jnp.hypot(real, imaginary), jnp.where(imaginary > 0, 0, stretch))
        steep = jnp.maximum(-real, STEEPEST * radius)
        # An eigenvalue that grows wants accuracy, not stability.
        bend = jnp.where((real < 0.1 * radius) & (radius > 0), imaginary**2 / (2 * steep), 0)
        settled = (jnp.abs(radius - now.radius) <= SETTLED * radius) & (now.spent > 0)
        ahead = jax.tree.map(lambda a, v: jnp.where(stretch > 0, a / stretch, v), image,
                             now.direction)  # fmt: skip
        return _Search(
            ahead, now.direction, stretch, radius, jnp.maximum(now.bend, bend), bend,
            now.spent + 1, settled | ~(stretch > 0) | ~jnp.isfinite(stretch),
        )  # fmt: skip

    zero, unit = jnp.zeros((), dtype), unit_vector(start)
    search = _Search(unit, unit, zero, zero, zero, zero, jnp.zeros((), jnp.int32), skip)
    found = jax.lax.while_loop(lambda now: ~now.settled & (now.spent < most), body, search)
    spectrum = Spectrum(SAFETY * found.radius, SAFETY * found.bend, SAFETY * found.own_bend)
    return spectrum, found.direction, found.spent


def _plane(now: _Search, image: PyTree, stretch: Scalar) -> tuple[Scalar, Scalar]:
    """Re and |Im| of the larger eigenvalue of J projected on span(direction, last)."""
    overlap = dot(now.direction, now.last)
    rest = 1 - overlap**2
    inner, outer = dot(now.direction, image), dot(now.last, image)
    # In the basis q1 = direction, q2 = (last - overlap q1) / sqrt(rest); J last = stretch q1.
    usable = (now.spent > 0) & (rest > 1e-6)
    safe = jnp.where(usable, rest, 1)
    cross = (outer - overlap * inner) * (now.stretch - overlap * inner) / safe
    corner = -overlap * (outer - overlap * inner) / safe
    trace, product = inner + corner, inner * corner - cross
    split = trace**2 / 4 - product
    root = jnp.sqrt(jnp.abs(split))
    real = jnp.where(split >= 0, trace / 2 + jnp.where(trace < 0, -root, root), trace / 2)
    imaginary = jnp.where(split >= 0, 0, root)
    return jnp.where(usable, real, inner), jnp.where(usable, imaginary, 0)


def unit_vector(a: PyTree) -> PyTree:
    """a / ||a||; a itself if it is zero."""
    size = norm(a)
    return jax.tree.map(lambda leaf: leaf / jnp.where(size > 0, size, 1), a)


def with_a_little_of_everything(a: PyTree) -> PyTree:
    """a / ||a|| plus a random vector of size 0.03: a start in an invariant subspace (symmetric
    weights, a rule that leaves a layer alone) would hide the rest of the spectrum."""
    leaves, structure = jax.tree.flatten(a)
    with drawing():
        keys = jax.random.split(seeded(0), len(leaves))
        pairs = zip(keys, leaves, strict=True)
        drawn = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in pairs]
    noise = unit_vector(drawn)
    mixed = [b + 0.03 * c for b, c in zip(unit_vector(leaves), noise, strict=True)]
    return jax.tree.unflatten(structure, mixed)
