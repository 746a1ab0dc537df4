"""The directions in which a rule can move a state at all: its fields and all their brackets.

Moving along v, then along w, then back along both, moves along the bracket [v, w] = Dw v - Dv w.
The span of all brackets at a generic point is the tangent space of the orbit, the set of states
that some sequence of lessons leads to (Hermann, Nagano, Sussmann 1973). A function that no lesson
changes is constant on orbits: there are D - dim of them, D the number of weights (Marcotte,
Gribonval & Peyre 2023 for gradient flows).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from .fields import Fields, Lesson

MOST_DEPTH = 6  # compiling brackets of brackets doubles with every depth
LEAST_GAP = 1e4  # between the last singular value that counts and the first that does not
SMALLEST = 1e-9  # of the largest singular value: what is below is no direction


class Rank(NamedTuple):
    """A numerical rank; `gap`: the singular value that counts last over the next (over rounding,
    if there is none). `clear` if the gap leaves no doubt."""

    rank: int
    gap: float

    @property
    def clear(self) -> bool:
        return self.gap >= LEAST_GAP


class Orbit(NamedTuple):
    """`frame` (D, rank): orthonormal directions of the orbit at the state `point`, D its counted
    entries; `ranks`: after the fields themselves, their brackets, brackets of brackets ... until
    they add nothing."""

    point: np.ndarray
    frame: np.ndarray
    ranks: tuple[Rank, ...]
    closed: bool

    @property
    def rank(self) -> Rank:
        return Rank(self.ranks[-1].rank, min(rank.gap for rank in self.ranks))


def find_orbit(fields: Fields, rng: np.random.Generator, candidates: int = 1) -> Orbit:
    """The orbit of a generic state, by random lessons and right-nested random brackets.

    Of several `candidates` the state with the most fields is taken: with kinks some states lie in
    regions where few move.
    """
    points = jnp.asarray(fields.random_states(rng, candidates))
    size = len(fields.counted)
    point = points[0] if candidates == 1 else _widest(fields, points, rng)
    columns, ranks, frame = [], [], np.zeros((size, 0))
    for depth in range(1, MOST_DEPTH + 1):
        count = (4 if depth == 1 else 2) * size + 16
        lessons = fields.lessons(rng, (depth, count))
        columns.append(_directions(fields, point, lessons, depth))
        left, values, _ = np.linalg.svd(np.concatenate(columns, axis=1), full_matrices=False)
        ranks.append(numerical_rank(values))
        frame = left[:, : ranks[-1].rank]
        stands = depth > 1 and ranks[-1].rank == ranks[-2].rank
        if stands or ranks[-1].rank == size:
            return Orbit(np.asarray(point), frame, tuple(ranks), True)
    return Orbit(np.asarray(point), frame, tuple(ranks), False)


def _widest(fields: Fields, points: Array, rng: np.random.Generator) -> Array:
    """The state whose fields alone span most."""
    lessons = fields.lessons(rng, (1, 4 * len(fields.counted) + 16))
    spans = [
        numerical_rank(np.linalg.svd(_directions(fields, point, lessons, 1), compute_uv=False))
        for point in points
    ]
    return points[int(np.argmax([span.rank for span in spans]))]


def numerical_rank(values: np.ndarray) -> Rank:
    """Where singular values (descending) break off."""
    if values.size == 0 or values[0] == 0:
        return Rank(0, np.inf)
    floor = 100 * np.finfo(values.dtype).eps * values[0]
    count = int(np.sum(values > SMALLEST * values[0]))
    after = values[count] if count < values.size else 0.0
    return Rank(count, float(values[count - 1] / max(after, floor)))


def _directions(fields: Fields, point: Array, lessons: Lesson, depth: int) -> np.ndarray:
    """(D, count): brackets of `depth` fields, in units of the largest of what cancels in them."""
    values, sizes = _brackets(fields, point, lessons, depth)
    size = float(jnp.max(sizes))
    return np.asarray(values).T[list(fields.counted)] / (size if size > 0 else 1.0)


@eqx.filter_jit
def _brackets(fields: Fields, point: Array, lessons: Lesson, depth: int) -> tuple[Array, Array]:
    def nested(several: Lesson) -> tuple[Array, Array]:
        one = jax.tree.map(lambda a: a[0], several)
        value = lambda state: fields(state, one)  # noqa: E731
        if depth == 1:
            move = value(point)
            return move, jnp.linalg.norm(move)
        for level in range(1, depth - 1):
            value = _bracket(_with(fields, several, level), value)
        forth, back = _halves(_with(fields, several, depth - 1), value, point)
        return forth - back, jnp.linalg.norm(forth) + jnp.linalg.norm(back)

    # In bounded batches: of hundreds of small factorisations at once XLA has hung on CPUs.
    several = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), lessons)
    values, sizes = jax.lax.map(nested, several, batch_size=32)
    if depth == 1:  # lessons differ in size, and each is a direction of its own
        values = values / jnp.where(sizes > 0, sizes, 1.0)[:, None]
        sizes = jnp.ones_like(sizes)
    return values, sizes


def _with(fields: Fields, several: Lesson, level: int):
    lesson = jax.tree.map(lambda a: a[level], several)
    return lambda state: fields(state, lesson)


def _halves(v, w, state: Array) -> tuple[Array, Array]:
    """Dw v and Dv w."""
    return jax.jvp(w, (state,), (v(state),))[1], jax.jvp(v, (state,), (w(state),))[1]


def _bracket(v, w):
    def value(state: Array) -> Array:
        forth, back = _halves(v, w, state)
        return forth - back

    return value
