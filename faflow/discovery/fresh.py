"""Whether what is called a law is kept, at states that nothing was found at."""

from collections.abc import Sequence

import jax
import numpy as np

from .abstract import AbstractFields
from .moves import find_moves

FRESH = 3  # states
LESSONS = 16  # at each of them


class FreshPlaces:
    """Random states and how random lessons move them, drawn apart from all that was looked at."""

    def __init__(self, fields: AbstractFields, seed: int):
        rng, places = np.random.default_rng([seed, 2]), list(fields.counted)
        self.points = fields.random_states(rng, FRESH)
        lessons = jax.device_get(fields.lessons(rng, (FRESH, LESSONS)))
        each = jax.tree.map(lambda leaf: leaf.reshape(FRESH * LESSONS, *leaf.shape[2:]), lessons)
        moves = find_moves(fields, np.repeat(self.points, LESSONS, axis=0), each)
        self.moves = moves.reshape(FRESH, LESSONS, -1)[:, :, places]

    def rates(self, slopes: Sequence[np.ndarray]) -> np.ndarray:
        """(laws,): the largest |<grad Q, v>| of all states and lessons, over sum |dQ/dx_i v_i|.
        `slopes`: the gradients (laws, D) at each of the `points`."""
        both = zip(slopes, self.moves, strict=True)
        return np.max([relative_rates(some, moves) for some, moves in both], axis=0)


def relative_rates(slopes: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(laws,) of gradients (laws, D) along moves (lessons, D): 0 if kept, 1 if nothing cancels."""
    size = np.abs(slopes) @ np.abs(moves).T
    rates = np.abs(slopes @ moves.T) / np.where(size > 0, size, 1.0)
    return np.max(rates, axis=1, initial=0.0)
