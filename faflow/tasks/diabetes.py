"""Diabetes progression: a real regression task (scikit-learn)."""

import numpy as np

from ._host import Key, Raw, generators, lookup, require
from .selection import draw_rows


def diabetes(*, key: Key, samples: int | None = None, target: str = "value") -> Raw:
    """442 patients, X (samples, 10), y (samples, 1) = disease progression after a year, 25 to 346.

    The features are centred with unit norm over all 442 rows, as scikit-learn ships them; the
    targets are raw. target: only "value". `samples` rows are drawn from `key` without repetition.
    Source: Efron, Hastie, Johnstone & Tibshirani 2004, "Least Angle Regression", through
    `sklearn.datasets.load_diabetes` (offline). ValueError if there are fewer rows than asked for.
    """
    encode = lookup("target", target, REGRESSION_TARGETS)
    x, y = require("sklearn.datasets", "scikit-learn").load_diabetes(return_X_y=True)
    x = np.asarray(x, np.float64)
    if samples is None:
        return x, encode(y)
    (rng,) = generators(key, 1)
    chosen = draw_rows(rng, np.arange(len(x)), samples)
    return x[chosen], encode(y[chosen])


def _value(y: np.ndarray) -> np.ndarray:
    return np.asarray(y, np.float64)[:, None]


REGRESSION_TARGETS = {"value": _value}
