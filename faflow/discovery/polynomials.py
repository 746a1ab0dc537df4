"""Polynomial laws: P with <grad P, v> = 0 for every field v of a rule, at every state.

Linear in the coefficients of P. Random states and lessons give more equations than there are
coefficients; the null space of that system is the laws. (Marcotte, Gribonval & Peyre 2023 do the
same symbolically for gradient flows.)
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ..rules.models.null_space import gauss_jordan
from .abstract import AbstractFields
from .fresh import FreshPlaces
from .lie import Rank, rank_of
from .moves import find_moves

MOST_MONOMIALS = 2000
CONFIRMED = 1e-7  # relative rate at fresh states: coefficients are solved for, to some 1e-10
FORGOTTEN = 1e-9  # coefficients below this, in units of the law's largest, are rounding


class PolynomialLaws(NamedTuple):
    """`monomials` (count, degree): the variables of each one, padded with D; `coefficients` (laws,
    count): independent laws that generate, with functions of themselves, all those found;
    `space` (dimension, count): every law up to this degree, orthonormal. `rank`: of the system."""

    monomials: np.ndarray
    coefficients: np.ndarray
    degrees: tuple[int, ...]
    space: np.ndarray
    rank: Rank


def monomial_count(variables: int, degree: int) -> int:
    """Monomials of degree 1..degree."""
    return math.comb(variables + degree, degree) - 1


def list_monomials(variables: int, degree: int) -> np.ndarray:
    """(count, degree): by degree, within it in lexical order, padded with `variables`."""
    rows = [
        (*chosen, *[variables] * (degree - power))
        for power in range(1, degree + 1)
        for chosen in itertools.combinations_with_replacement(range(variables), power)
    ]
    return np.asarray(rows, np.int32)


def check_monomials(variables: int, degree: int) -> int:
    """How many monomials there are; ValueError if they are too many to be searched."""
    count = monomial_count(variables, degree)
    if count > MOST_MONOMIALS:
        raise ValueError(
            f"Polynomials of degree {degree} in {variables} weights have {count} monomials; "
            f"{MOST_MONOMIALS} at most can be searched."
        )
    return count


def find_polynomials(
    fields: AbstractFields,
    orbit_point: np.ndarray,
    rng: np.random.Generator,
    degree: int,
    rate: float = 0.0,
    monomials: np.ndarray | None = None,
) -> PolynomialLaws:
    """The polynomial laws of degree up to `degree`; of another `rate` than 0 those that are laws
    times e^{rate t}. `monomials`: which there are (`list_monomials`), unless all.

    ValueError if there are more than MOST_MONOMIALS monomials.
    """
    variables = len(fields.counted)
    if monomials is None:
        check_monomials(variables, degree)
        monomials = list_monomials(variables, degree)
    count = len(monomials)
    rows = count + count // 4 + 40
    states, lessons = fields.random_states(rng, rows), fields.lessons(rng, (rows,))
    system = _system(fields, monomials, states, lessons, rate)
    _, values, right = np.linalg.svd(system)
    rank = rank_of(values)
    space = right[rank.rank :]
    found, degrees = _generators(space, monomials, orbit_point[list(fields.counted)])
    return PolynomialLaws(monomials, found, degrees, space, rank)


def confirmed(laws: PolynomialLaws, fields: AbstractFields, fresh: FreshPlaces) -> PolynomialLaws:
    """Those that are kept at states which they were not solved from."""
    points = fresh.points[:, list(fields.counted)]
    slopes = [gradients(laws.monomials, laws.coefficients, point) for point in points]
    kept = fresh.rates(slopes) < CONFIRMED
    degrees = tuple(degree for degree, ok in zip(laws.degrees, kept, strict=True) if ok)
    return laws._replace(coefficients=laws.coefficients[kept], degrees=degrees)


def _system(
    fields: AbstractFields, monomials: np.ndarray, states: np.ndarray, lessons: Any, rate: float
) -> np.ndarray:
    """(rows, count): the rate of every monomial and `rate` times itself, at one state and for one
    lesson per row."""
    moves, places = find_moves(fields, states, lessons), list(fields.counted)
    paces = 1 / _sizes(moves)
    rates = monomial_rates(monomials, states[:, places], paces * moves[:, places])
    if rate:
        values = np.pad(states[:, places], ((0, 0), (0, 1)), constant_values=1.0)
        rates += rate * paces * np.prod([values[:, column] for column in monomials.T], axis=0)
    return rates / _sizes(rates)


def _sizes(rows: np.ndarray) -> np.ndarray:
    """(rows, 1); 1 for samples that reach no neuron, which move nothing."""
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(sizes > 0, sizes, 1.0)


def monomial_rates(monomials: np.ndarray, states: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(rows, count): d/ds of every monomial along state + s move, one state and move per row."""
    none = ((0, 0), (0, 1))
    factors = [np.pad(states, none, constant_values=1.0)[:, column] for column in monomials.T]
    total = np.zeros((len(states), len(monomials)))
    for place, column in enumerate(monomials.T):
        others = factors[:place] + factors[place + 1 :]
        total += np.pad(moves, none)[:, column] * math.prod(others, start=np.ones_like(total))
    return total


def gradients(monomials: np.ndarray, coefficients: np.ndarray, state: np.ndarray) -> np.ndarray:
    """(laws, D): the gradients of polynomials at a state."""
    variables = state.size
    values = np.append(state, 1.0)[monomials]
    found = np.zeros((coefficients.shape[0], variables + 1))
    for place in range(monomials.shape[1]):
        others = np.prod(np.delete(values, place, axis=1), axis=1)
        np.add.at(found.T, monomials[:, place], (coefficients * others).T)
    return found[:, :variables]


def _generators(
    space: np.ndarray, monomials: np.ndarray, state: np.ndarray
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Laws of low degree and few terms whose gradients are independent at the state."""
    variables = state.size
    powers = np.sum(monomials < variables, axis=1)
    chosen, degrees = np.zeros((0, len(monomials))), []
    slopes, known = np.zeros((0, variables)), 0
    for degree in range(1, monomials.shape[1] + 1):
        low = _within(space, powers <= degree)
        for law in echelon(low, _order(monomials, variables)):
            more = np.vstack([slopes, gradients(monomials, law[None, :], state)])
            sizes = np.linalg.norm(more, axis=1, keepdims=True)
            rank = rank_of(np.linalg.svd(more / np.where(sizes > 0, sizes, 1.0))[1]).rank
            if rank > known:
                chosen, slopes, known = np.vstack([chosen, law]), more, rank
                degrees.append(degree)
    return chosen, tuple(degrees)


def _within(space: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The part of a space that uses the allowed monomials only."""
    if len(space) == 0 or allowed.all():
        return space
    left, values, _ = np.linalg.svd(space[:, ~allowed])
    beyond = int(np.sum(values > 1e-8))
    return left[:, beyond:].T @ space


def _order(monomials: np.ndarray, variables: int) -> np.ndarray:
    """Monomials as leading terms: squares first (the norms that laws balance), then the others."""
    powers = np.sum(monomials < variables, axis=1)
    mixed = np.array([len(set(row[row < variables])) for row in monomials])
    return np.lexsort((np.arange(len(monomials)), mixed, -powers))


def echelon(space: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The reduced row echelon form with leading terms in the given order; fewest terms first."""
    rows, done = gauss_jordan(space, order.tolist(), 1e-6)
    rows = rows[:done]
    largest = np.max(np.abs(rows), axis=1, initial=0.0)[:, None]
    rows = sparser(np.where(np.abs(rows) < FORGOTTEN * largest, 0.0, rows))
    return rows[np.argsort(np.sum(rows != 0, axis=1), kind="stable")]


def sparser(rows: np.ndarray) -> np.ndarray:
    """The same span with fewer terms: a multiple of one row is added to another wherever that
    cancels more terms than it brings in."""
    rows = rows.copy()
    for i in range(len(rows)):
        for j in range(len(rows)):
            shared = (rows[i] != 0) & (rows[j] != 0)
            if i == j or not shared.any():
                continue
            ratios = rows[i, shared] / rows[j, shared]
            for ratio in ratios[np.unique(np.round(ratios, 9), return_index=True)[1]]:
                more = rows[i] - ratio * rows[j]
                more[np.abs(more) < FORGOTTEN * np.max(np.abs(rows[i]))] = 0.0
                if np.sum(more != 0) < np.sum(rows[i] != 0):
                    rows[i] = more
    return rows
