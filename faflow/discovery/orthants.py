"""Rules that are piecewise in the weights: which signs they look at, and what all states keep.

A field that holds sign(W) jumps where an entry changes sign. Its brackets know one orthant, while a
flow goes from one to the next. So tangents are carried along flows that do: across the plane
x_k = 0 by the saltation matrix 1 + (v_+ - v_-) e_k^T / v_{-,k}, v_- and v_+ the field on its two
sides (Filippov 1988; Aizerman & Gantmacher 1958). What the fields met on the way and all that was
carried there span is the tangent space of the orbit among all states.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import LOOP, compiled
from .._types import Array
from .abstract import AbstractFields
from .lie import Orbit, Rank
from .moves import find_moves

BESIDE = 1e-9  # how far from a plane the field is looked at, in units of a weight
JUMP = 1e-6  # of the field: a smooth one changes by BESIDE
NEAR = 0.05  # of generic weights: where crossings start
LESSONS = 32  # at every stop
TRIES = 16  # of them, to get to a plane
STEPS = 60  # on the way to a plane
WRONG = 1e-11  # of the state: an error of one step above this is a kink inside it
SMALL = 1e-6  # of the largest singular value: carried tangents are known to the steps' accuracy
CLEAR = 1e4  # between the last singular value that counts and the first that does not


class _Place(NamedTuple):
    """A state (full), tangents there (full, count) and what separates counted ones from others."""

    state: np.ndarray
    frame: np.ndarray
    gap: float


def sign_planes(fields: AbstractFields, rng: np.random.Generator) -> tuple[int, ...]:
    """Places among `counted` of the entries at whose zero the field jumps; () for most rules."""
    state, lessons = fields.random_states(rng, 1)[0], fields.lessons(rng, (LESSONS,))
    both = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf]), jax.device_get(lessons))

    def jump(entry: int) -> float:
        sides = np.tile(state, (2 * LESSONS, 1))
        sides[:LESSONS, entry], sides[LESSONS:, entry] = BESIDE, -BESIDE
        above, below = np.split(find_moves(fields, sides, both), 2)
        size = np.linalg.norm(above, axis=1)
        return np.max(np.linalg.norm(above - below, axis=1) / np.where(size > 0, size, 1.0))

    return tuple(place for place, entry in enumerate(fields.counted) if jump(entry) > JUMP)


def orbit_everywhere(
    fields: AbstractFields, orbit: Orbit, planes: tuple[int, ...], rng: np.random.Generator
) -> Orbit:
    """The orbit among all states of one near the planes: far from one a law may keep a state from
    ever getting there (1/2 ||W_l[j]||^2 - ||W_{l+1}[:,j]||_1 < 0).

    Every plane is crossed twice at least, and until that adds nothing; `closed` if every plane was
    crossed and the rank is clear.
    """
    counted, start = list(fields.counted), orbit.point.copy()
    entries = [fields.counted[plane] for plane in planes]
    start[entries] *= NEAR
    place = _joined(fields, _Place(start, np.zeros((start.size, 0)), np.inf), rng)
    crossed, idle, legs, order = set(), 0, 0, list(rng.permutation(planes))
    while idle < 2 * len(planes) and legs < 8 * len(planes) + 8:
        plane = order[legs % len(order)]
        rank = place.frame.shape[1]
        moved = _cross(fields, place, entries, fields.counted[plane], rng)
        legs, idle = legs + 1, idle + 1
        if moved is not None:
            place = _joined(fields, moved, rng)
            crossed.add(plane)
            idle = idle if place.frame.shape[1] == rank else 0
    count = place.frame.shape[1]
    directions = np.linalg.qr(place.frame[counted])[0]
    clear = place.gap >= CLEAR and len(crossed) == len(planes)
    return Orbit(place.state, directions, (*orbit.ranks, Rank(count, place.gap)), clear)


def _cross(
    fields: AbstractFields, place: _Place, entries: list[int], target: int, rng: np.random.Generator
) -> _Place | None:
    """Along one field, forth or back, across the plane of the entry `target` and some way beyond;
    None where none of them comes through."""
    lessons = fields.lessons(rng, (LESSONS,))
    moves = _moves_at(fields, place.state, lessons)
    each = jax.device_get(lessons)
    # The shortest way first: a long one leads far off and loses digits.
    slopes = np.abs(moves[:, target]) / (np.linalg.norm(moves, axis=1) + np.finfo(float).tiny)
    for best in np.argsort(-slopes)[:TRIES]:
        lesson = jax.device_put(jax.tree.map(lambda leaf, best=best: leaf[best], each))
        way = -np.sign(place.state[target] * moves[best, target])
        here: _Place | None = place
        for _ in range(len(entries)):  # other planes may lie on the way
            here, crossed = _next_plane(fields, here, lesson, entries, way)
            if here is None:
                break
            if crossed == target:
                return _beyond(fields, here, lesson, entries, way)
    return None


def _times(move: np.ndarray, state: np.ndarray, entries: list[int], way: float) -> np.ndarray:
    """When each of the entries would be zero, in the direction of time `way`, by Newton's step."""
    speeds = way * move[entries]
    ahead = speeds * state[entries] < 0
    return np.where(ahead, -state[entries] / np.where(ahead, speeds, 1.0), np.inf)


def _next_plane(
    fields: AbstractFields, place: _Place, lesson: Any, entries: list[int], way: float
) -> tuple[_Place | None, int]:
    """Through the first plane on the way, and which that was; None if there is none."""
    share, before = 0.5, np.abs(place.state)
    for _ in range(STEPS):
        move = np.asarray(_one(fields, jax.device_put(place.state), lesson))
        times = _times(move, place.state, entries, way)
        first = int(np.argmin(times))
        if not np.isfinite(times[first]):
            break  # they have all turned back
        entry = entries[first]
        value = place.state[entry]
        if abs(value) < 1e-13 * before[entry]:
            return _through(fields, place, lesson, entry), entry
        # Close to the plane Newton's step lands on it, and a little less stays before it.
        near = abs(value) < 1e-5 * before[entry]
        step = (0.999 if near else share) * way * times[first]
        moved = _advanced(fields, place, lesson, step)
        if moved is not None and np.all(moved.state[entries] * place.state[entries] > 0):
            place, share = moved, min(2 * share, 0.8)
        elif near or share < 1e-3:
            break
        else:
            share = share / 2
    return None, -1


def _through(fields: AbstractFields, place: _Place, lesson: Any, entry: int) -> _Place | None:
    """The saltation; None where the flow does not come through."""
    beyond = place.state.copy()
    beyond[entry] = -beyond[entry]
    before, after = (
        np.asarray(_one(fields, jax.device_put(side), lesson)) for side in (place.state, beyond)
    )
    if not before[entry] * after[entry] > 0:
        return None
    jump = np.outer(after - before, place.frame[entry]) / before[entry]
    return _Place(beyond, place.frame + jump, place.gap)


def _beyond(
    fields: AbstractFields, place: _Place, lesson: Any, entries: list[int], way: float
) -> _Place | None:
    """A stretch on the other side, short of the next plane."""
    move = np.asarray(_one(fields, jax.device_put(place.state), lesson))
    size = np.linalg.norm(place.state) / place.state.size**0.5
    stretch = min(
        0.2 * size / np.max(np.abs(move)), 0.5 * _times(move, place.state, entries, way).min()
    )
    for _ in range(10):
        moved = _advanced(fields, place, lesson, way * stretch)
        if moved is not None and np.all(moved.state[entries] * place.state[entries] > 0):
            return moved
        stretch = stretch / 2
    return None


def _joined(fields: AbstractFields, place: _Place, rng: np.random.Generator) -> _Place:
    """The carried tangents and the fields of this place, orthonormal."""
    here = _moves_at(fields, place.state, fields.lessons(rng, (LESSONS,))).T
    columns = np.concatenate([place.frame, here], axis=1)
    sizes = np.linalg.norm(columns, axis=0)
    left, values, _ = np.linalg.svd(columns / np.where(sizes > 0, sizes, 1.0), full_matrices=False)
    count = int(np.sum(values > SMALL * values[0]))
    after = values[count] if count < values.size else 0.0
    gap = float(values[count - 1] / max(after, 1e-14 * values[0]))
    return _Place(place.state, left[:, :count], min(gap, place.gap))


def _advanced(fields: AbstractFields, place: _Place, lesson: Any, step: float) -> _Place | None:
    """One step of the flow and of the tangents; None if the field is not smooth in it."""
    room = np.zeros((place.state.size, place.state.size))
    count = place.frame.shape[1]
    room[:, :count] = place.frame
    start, tangents, h = jax.device_put((place.state, room, float(step)))
    state, frame, error = jax.device_get(_advance(fields, start, tangents, lesson, h))
    if not error <= WRONG * np.linalg.norm(place.state):
        return None
    return _Place(state, frame[:, :count], place.gap)


@compiled(LOOP)
def _advance(fields: AbstractFields, state: Array, frame: Array, lesson: Any, step: Array):
    """A step of the classical Runge-Kutta method in two halves, and how far one whole one is."""
    stages = jnp.array([[0.0, 1 / 6], [1 / 2, 1 / 3], [1 / 2, 1 / 3], [1.0, 1 / 6]])

    def classical(start: Array, h: Array) -> Array:
        def stage(sofar: tuple[Array, Array], at: Array) -> tuple[tuple[Array, Array], None]:
            slope, end = sofar
            slope = fields(start + at[0] * h * slope, lesson)
            return (slope, end + at[1] * h * slope), None

        return jax.lax.scan(stage, (jnp.zeros_like(start), start), stages)[0][1]

    def halves(x: Array) -> tuple[Array, Array]:
        def run(fine: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            h, whole = given
            end = classical(jnp.where(whole, x, fine), h)
            return jnp.where(whole, fine, end), end

        runs = step * jnp.array([0.5, 0.5, 1.0]), jnp.array([False, False, True])
        fine, ends = jax.lax.scan(run, x, runs)
        return fine, jnp.linalg.norm(fine - ends[-1])

    moved, push, error = jax.linearize(halves, state, has_aux=True)
    return moved, jax.vmap(push, 1, 1)(frame), error


@compiled(LOOP)
def _one(fields: AbstractFields, state: Array, lesson: Any) -> Array:
    return fields(state, lesson)


def _moves_at(fields: AbstractFields, state: np.ndarray, lessons: Any) -> np.ndarray:
    """(LESSONS, state)."""
    return find_moves(fields, np.tile(state, (LESSONS, 1)), lessons)
