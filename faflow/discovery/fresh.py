"""Whether what is called a law is kept, at states that nothing was found at."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._compiling import LOOP, compiled
from .._types import Array
from .abstract import AbstractFields

FRESH = 3  # states
LESSONS = 16  # at each of them

Slopes = Callable[[np.ndarray], np.ndarray]  # of a state (D,): the gradients (laws, D)


class FreshPlaces:
    """Random states and how random lessons move them, drawn apart from all that was looked at."""

    def __init__(self, fields: AbstractFields, seed: int):
        rng, places = np.random.default_rng([seed, 2]), list(fields.counted)
        self.points = fields.random_states(rng, FRESH)
        lessons = fields.lessons(rng, (FRESH, LESSONS))
        moves = _moves(fields, jax.device_put(self.points), lessons)
        self.moves = np.asarray(moves)[:, :, places]

    def rates(self, slopes: Slopes) -> np.ndarray:
        """(laws,): the largest |<grad Q, v>| of all states and lessons, over sum |dQ/dx_i v_i|."""
        found = [
            relative_rates(slopes(point), moves)
            for point, moves in zip(self.points, self.moves, strict=True)
        ]
        return np.max(found, axis=0)


def relative_rates(slopes: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(laws,) of gradients (laws, D) along moves (lessons, D): 0 if kept, 1 if nothing cancels."""
    size = np.abs(slopes) @ np.abs(moves).T
    rates = np.abs(slopes @ moves.T) / np.where(size > 0, size, 1.0)
    return np.max(rates, axis=1, initial=0.0)


@compiled(LOOP)
def _moves(fields: AbstractFields, points: Array, lessons: Any) -> Array:
    """(states, lessons, state)."""
    at = jax.vmap(fields, (None, 0))
    return jax.lax.map(lambda given: at(*given), (points, lessons))
