"""Means over draws with their standard errors, and how fast finite networks come to the limit."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A mean over draws and its standard error."""

    mean: np.ndarray
    error: np.ndarray


def estimated(draws: np.ndarray) -> Estimate:
    """Over the first axis, of two draws or more."""
    return Estimate(draws.mean(0), draws.std(0, ddof=1) / math.sqrt(len(draws)))


def squared_errors(draws: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """|x - limit|^2 / |limit|^2 of every draw (draws, ...)."""
    apart = ((draws - limit) ** 2).reshape(len(draws), -1).sum(1)
    return apart / np.sum(limit**2)


class Power(NamedTuple):
    """y ~ N^power, and the standard error of the power."""

    power: float
    stderr: float


def power_of(widths: Sequence[int], values: Sequence[Estimate]) -> Power:
    """Fitted in logarithms, every width weighed by its error; nan for one width."""
    means = np.array([float(value.mean) for value in values])
    errors = np.array([float(value.error) for value in values])
    if len(widths) < 2 or not (means > 0).all():
        return Power(math.nan, math.nan)
    x, y = np.log(np.asarray(widths, float)), np.log(means)
    weight = (means / np.maximum(errors, 1e-300)) ** 2
    middle = np.sum(weight * x) / np.sum(weight)
    spread = np.sum(weight * (x - middle) ** 2)
    return Power(float(np.sum(weight * (x - middle) * y) / spread), float(spread**-0.5))
