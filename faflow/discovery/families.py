"""Laws in w_i w_j, w_i, |w_i| and log |w_i|: linear, quadratic, one-norms, products of rows.

Sign symmetry keeps 1/2 |A_i|^2 - |C_i|_1; a sum of log |w_i| is the logarithm of a product. With
z = (w, log |w|, |w|) all of them are polynomials of z, at states with signs of every kind.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._types import Array
from .abstract import AbstractFields
from .polynomials import (
    MOST_MONOMIALS,
    PolynomialLaws,
    find_polynomials,
    gradients,
    list_monomials,
    monomial_count,
)


class Lifted(AbstractFields):
    """The fields of `inner` on z = (w, log |w|, |w|), w its counted entries."""

    inner: AbstractFields

    @property
    def counted(self) -> tuple[int, ...]:
        return tuple(range(3 * len(self.inner.counted)))

    @property
    def kinked(self) -> bool:
        return self.inner.kinked

    @property
    def speeds(self) -> tuple[int, ...]:
        return ()

    def random_states(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return lifted(self.inner.random_states(rng, count)[:, list(self.inner.counted)])

    def lessons(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
        return self.inner.lessons(rng, shape)

    def __call__(self, flat: Array, lesson: Any) -> Array:
        weights = flat[: len(self.inner.counted)]
        move = self.inner(weights, lesson)
        return jnp.concatenate([move, move / weights, jnp.sign(weights) * move])


def lifted(weights: np.ndarray) -> np.ndarray:
    return np.concatenate([weights, np.log(np.abs(weights)), np.abs(weights)], axis=-1)


def find_families(
    fields: AbstractFields, weights: np.ndarray, seed: int = 0
) -> tuple[PolynomialLaws, np.ndarray, int]:
    """The laws of these families, their gradients by w at `weights`, and their degree in w: 2, or 1
    if there are too many pairs, or 0 (nothing is searched). All of the state must be counted."""
    size = len(fields.counted)
    room = MOST_MONOMIALS - 2 * size
    degree = next((d for d in (2, 1) if monomial_count(size, d) <= room), 0)
    pairs = list_monomials(size, degree)
    pairs = np.where(pairs == size, 3 * size, pairs)
    more = np.full((2 * size, pairs.shape[1]), 3 * size, np.int32)
    if degree:
        more[:, 0] = np.arange(size, 3 * size)
    monomials = np.vstack([pairs, more]) if degree else pairs
    rng, point = np.random.default_rng(seed), lifted(weights)
    found = find_polynomials(Lifted(fields), point, rng, degree, monomials=monomials)
    slopes = gradients(found.monomials, found.coefficients, point).reshape(-1, 3, size)
    by_weight = slopes[:, 0] + slopes[:, 1] / weights + slopes[:, 2] * np.sign(weights)
    return found, by_weight, degree
