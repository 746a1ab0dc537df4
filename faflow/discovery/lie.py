"""The directions in which a rule can move a state at all: its fields, carried along its flows.

The orbit of a state is the set of states that some sequence of lessons leads to. Its tangent space
is spanned by the fields of all lessons, taken at the far end of any chain of flows and carried back
to the state by the flows' derivative (Sussmann 1973; the same space as that of the fields and all
their brackets, Hermann 1963, Nagano 1966: the bracket [v, w] is what the shortest chains carry
back). A function that no lesson changes is constant on orbits: there are D - dim of them, D the
number of weights (Marcotte, Gribonval & Peyre 2023 for gradient flows).

Chains rather than brackets of brackets, because these are derivatives inside derivatives, whose
program doubles with every depth: a chain is a loop, whatever its length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import LOOP, compiled
from .._types import Array, Integer, Scalar
from ..solvers.tableaus import as_tableau
from .abstract import AbstractFields

MOST_FLOWS = 12  # of a chain
# Every flow moves the state by about this share of its size; by the next one where kinks leave too
# few chains that come back ...
REACHES = (0.3, 0.06, 0.012)
STEPS = 16  # ... in so many steps of order 8
# Of the state's size: a chain that comes back this far from where it left has met a kink, or flows
# that part so fast that rounding shows.
ASTRAY = 1e-13
SPARE = 8  # directions beyond the rank that have to come back, for it to be the rank
LEAST_GAP = 1e4  # between the last singular value that counts and the first that does not
STATES = 2  # generic states that must agree
CANDIDATES, MOST_STATES = 16, 8  # with kinks: each is the best of so many, and there are so many
BATCH = 32  # of hundreds of small factorisations at once XLA has hung on CPUs
SMALLEST = 1e-9  # of the largest singular value: what is below is no direction


Draw = Callable[[np.random.Generator, int], np.ndarray]  # how many states (count, D)


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
    entries; `ranks`: after the fields themselves, then those at the end of one flow, of two flows
    ... until they add nothing."""

    point: np.ndarray
    frame: np.ndarray
    ranks: tuple[Rank, ...]
    closed: bool

    @property
    def rank(self) -> Rank:
        return Rank(self.ranks[-1].rank, min(rank.gap for rank in self.ranks))


def find_orbit(
    fields: AbstractFields,
    rng: np.random.Generator,
    candidates: int = 1,
    draw: Draw | None = None,
) -> Orbit:
    """The orbit of a generic state, by random lessons and random chains of flows.

    Of several `candidates` the state with the most fields is taken: with kinks some states lie in
    regions where few move. `draw`: what the states come from, if not `fields.random_states`.
    """
    points = (draw or fields.random_states)(rng, candidates)
    size = len(fields.counted)
    best = points[0] if candidates == 1 else _widest(fields, points, rng)
    point = jax.device_put(best)
    columns, ranks, frame = [], [], np.zeros((size, 0))
    for flows in range(MOST_FLOWS + 1):
        columns.append(_directions(fields, point, rng, flows))
        left, values, _ = np.linalg.svd(np.concatenate(columns, axis=1), full_matrices=False)
        ranks.append(rank_of(values))
        frame = left[:, : ranks[-1].rank]
        enough = columns[-1].shape[1] >= min(size, ranks[-1].rank + SPARE)
        stands = flows > 0 and enough and ranks[-1].rank == ranks[-2].rank
        if stands or ranks[-1].rank == size:
            return Orbit(best, frame, tuple(ranks), True)
    return Orbit(best, frame, tuple(ranks), False)


def find_orbits(
    fields: AbstractFields, rng: np.random.Generator, draw: Draw | None = None
) -> tuple[Orbit, ...]:
    """The orbits of two generic states; with kinks the largest of several states, once two have
    it, and if none do all of them, the largest first."""
    if not fields.kinked:
        return tuple(find_orbit(fields, rng, 1, draw) for _ in range(STATES))
    orbits: list[Orbit] = []
    while len(orbits) < MOST_STATES:
        orbits.append(find_orbit(fields, rng, CANDIDATES, draw))
        largest = max(orbit.rank.rank for orbit in orbits)
        best = [orbit for orbit in orbits if orbit.rank.rank == largest]
        if len(best) == STATES:
            return tuple(best)
    return tuple(sorted(orbits, key=lambda orbit: -orbit.rank.rank))


def independent_laws(size: int, orbits: tuple[Orbit, ...]) -> int | None:
    """D - rank, if there is no doubt about it."""
    ranks = {orbit.rank.rank for orbit in orbits}
    clear = all(orbit.closed and orbit.rank.clear for orbit in orbits)
    return size - ranks.pop() if clear and len(ranks) == 1 else None


def _widest(fields: AbstractFields, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The state whose fields alone span most."""
    spans = [
        rank_of(np.linalg.svd(_directions(fields, point, rng, 0), compute_uv=False))
        for point in jax.device_put(list(points))
    ]
    return points[int(np.argmax([span.rank for span in spans]))]


def rank_of(values: np.ndarray) -> Rank:
    """Where singular values (descending) break off."""
    if values.size == 0 or values[0] == 0:
        return Rank(0, np.inf)
    floor = 100 * np.finfo(values.dtype).eps * values[0]
    count = int(np.sum(values > SMALLEST * values[0]))
    after = values[count] if count < values.size else 0.0
    return Rank(count, float(values[count - 1] / max(after, floor)))


def _directions(
    fields: AbstractFields, point: Array, rng: np.random.Generator, flows: int
) -> np.ndarray:
    """(D, count), of unit length: fields at the far end of chains of so many `flows`, carried
    back. Chains that meet no kink are generic: as many as there can be directions, and SPARE, span
    all. Where some come back astray other kinks may turn up, and many are looked at."""
    size = len(fields.counted)
    found = np.zeros((size, 0))
    for reach in REACHES[:1] if flows == 0 else REACHES:
        more = _far_fields(fields, point, rng, flows, reach)
        found = np.concatenate([found, more], axis=1)
        if found.shape[1] >= size + SPARE:
            break
    sizes = np.linalg.norm(found, axis=0)
    return found / np.where(sizes > 0, sizes, 1.0)


def _far_fields(
    fields: AbstractFields, point: Array, rng: np.random.Generator, flows: int, reach: float
) -> np.ndarray:
    """Those of chains whose flows reach so far, and that came back."""
    size = len(fields.counted)
    most, enough = 4 * size + 16, 4 * size + 16 if flows == 0 else size + SPARE
    found, far = np.zeros((size, 0)), 0
    given = jax.device_put((flows, reach))
    for done in range(0, most, BATCH):
        lessons = fields.lessons(rng, (BATCH, MOST_FLOWS + 1))
        values, astray = map(np.asarray, _carried_back(fields, point, lessons, *given))
        if flows == 0 and not np.all(np.isfinite(values)):
            raise ValueError(
                "The rule's field is not finite at a random state, so nothing is counted."
            )
        back = astray < ASTRAY
        far += np.sum(~back)
        found = np.concatenate([found, values[back][:, list(fields.counted)].T], axis=1)
        if not far and done + BATCH >= enough:
            break
    return found


@compiled(LOOP)
def _carried_back(
    fields: AbstractFields, point: Array, lessons: Any, flows: Integer, reach: Scalar
) -> tuple[Array, Array]:
    """Per chain the last lesson's field, carried back (chains, state), and how far from `point`
    the way back ended, relative to its size (chains,)."""
    tableau = as_tableau(diffrax.Dopri8.tableau)
    a, b = jnp.asarray(tableau.a), jnp.asarray(tableau.b)

    def slope(both: Array, lesson: Any) -> Array:
        field = lambda state: fields(state, lesson)  # noqa: E731
        return jnp.stack(jax.jvp(field, (both[0],), (both[1],)))

    def leg(n: Integer, now: tuple[Array, Array]) -> tuple[Array, Array]:
        """There: flows 0, 1, ...; a stop, for the last lesson's field; back in reverse."""
        starts, sizes = now
        i = jnp.where(n > flows, 2 * flows - n, n)
        lesson = jax.tree.map(lambda leaf: leaf[:, i], lessons)

        def evaluate(k: Integer, now: tuple[Array, ...]) -> tuple[Array, ...]:
            """A stage of a step, which ends where the first of the next one is: so the field
            stands in the program once."""
            both, slopes, h = now
            stage = k % len(b)
            weights = jnp.where(stage == 0, b, a[stage])
            at = both + h[:, None, None] * jnp.tensordot(weights, slopes, 1)
            slopes = slopes.at[stage].set(jax.vmap(slope)(at, lesson))
            return jnp.where(stage == 0, at, both), slopes, jnp.where(k == 0, first(slopes[0]), h)

        def first(slopes: Array) -> Array:
            speed, size = (jnp.linalg.norm(one[:, 0], axis=1) for one in (slopes, starts))
            h = reach / STEPS * size / jnp.where(speed > 0, speed, 1.0)
            return jnp.where(n > flows, -sizes[i], h)

        none = jnp.zeros((len(b), *starts.shape)), jnp.zeros(len(starts))
        count = jnp.where(n == flows, 1, STEPS * len(b))
        both, slopes, h = jax.lax.fori_loop(0, count, evaluate, (starts, *none))
        ends = both + h[:, None, None] * jnp.tensordot(b, slopes, 1)
        stop = both.at[:, 1].set(slopes[0, :, 0])
        return jnp.where(n == flows, stop, ends), sizes.at[i].set(jnp.abs(h))

    count = jax.tree.leaves(lessons)[0].shape[0]
    start = jnp.tile(jnp.stack([point, jnp.zeros_like(point)]), (count, 1, 1))
    given = start, jnp.zeros((MOST_FLOWS + 1, count))
    both, _ = jax.lax.fori_loop(0, 2 * flows + 1, leg, given)
    return both[:, 1], jnp.linalg.norm(both[:, 0] - point[None], axis=1) / jnp.linalg.norm(point)
