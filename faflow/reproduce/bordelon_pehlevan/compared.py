"""Finite networks beside a limit: distances in standard errors, and how they fall with N."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..check import Reading

RARE = 1e-3  # how often chance takes the right limit beyond its bound


def error_of_mean(runs: np.ndarray) -> Any:
    """The standard error of the mean over the leading axis."""
    return np.std(runs, axis=0, ddof=1) / len(runs) ** 0.5


def away(runs: np.ndarray, limit: np.ndarray, error: np.ndarray | float = 0.0) -> float:
    """The mean over seeds against a limit, of standard error `error`: root mean square of the
    distances in standard errors, over all times and samples at which the seeds differ."""
    gap, size = np.mean(runs, axis=0) - limit, np.hypot(error_of_mean(runs), error)
    use = size > 1e-12 * np.max(np.abs(limit))
    return float(np.sqrt(np.mean((gap[use] / size[use]) ** 2)))


def chance(runs: np.ndarray, error: np.ndarray | float = 0.0, batches: int = 2) -> float:
    """What `away` from the right limit exceeds once in 1 / RARE draws, however times and samples
    hang together: Student's |t|, with Welch's degrees of freedom where the limit is itself a mean
    of `batches`. (Among sums of gaussian squares of mean 1 a single one has the heaviest tail:
    Szekely & Bakirov 2003.)"""
    own, other = error_of_mean(runs) ** 2, np.square(error)
    use = own + other > 0
    spread = own**2 / (len(runs) - 1) + other**2 / (batches - 1)
    return student(float(np.median((own + other)[use] ** 2 / spread[use])))


def student(freedom: int | float) -> float:
    """|t| that is exceeded with probability RARE."""
    from scipy.special import stdtrit

    return round(float(-stdtrit(freedom, RARE / 2)), 2)


def near(
    what: str,
    runs: np.ndarray,
    limit: np.ndarray,
    error: np.ndarray | float = 0.0,
    batches: int = 2,
) -> Reading:
    """That the mean of `runs` is the limit's, as far as chance tells."""
    bound = {"max": chance(runs, error, batches)}
    return Reading(f"{what}, standard errors", away(runs, limit, error), bound)


def far(what: str, runs: np.ndarray, wrong: np.ndarray) -> Reading:
    """That a wrong limit is told from the right one by the same bound."""
    return Reading(f"{what}, standard errors", away(runs, wrong), {"min": chance(runs)}, True)


def relative(runs: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """(seeds,): squared distance to the limit over all else, over the limit's own square."""
    axes = tuple(range(1, runs.ndim))
    return np.sum((runs - limit) ** 2, axis=axes) / np.sum(limit**2)


def fall(by_width: Mapping[int, np.ndarray], limit: np.ndarray) -> tuple[float, float]:
    """Slope of the mean square error in N, log to log, and its standard error; the spread of the
    logarithms is that of the means."""
    widths = np.log(list(by_width))
    found = [relative(runs, limit) for runs in by_width.values()]
    means = np.array([np.mean(each) for each in found])
    errors = np.array([error_of_mean(each) for each in found]) / means
    share = widths - np.mean(widths)
    share = share / np.sum(share**2)
    return float(share @ np.log(means)), float(np.sqrt(np.sum((share * errors) ** 2)))


def fall_readings(
    what: str, by_width: Mapping[int, np.ndarray], limit: np.ndarray
) -> list[Reading]:
    """That the square error falls as 1 / N, within the slope's standard errors."""
    slope, error = fall(by_width, limit)
    widths = f"N = {min(by_width)} to {max(by_width)}"
    steep = student(min(len(runs) for runs in by_width.values()) - 1)
    return [
        Reading(f"{what}: slope of the square error in N, {widths} (s.e. {error:.2g})", slope,
                {"near": -1.0, "within": round(steep * error, 4)}),
        Reading(f"{what}: that standard error", error, {"max": 0.4}),
    ]  # fmt: skip


def with_targets(kernels: np.ndarray, targets: np.ndarray) -> Any:
    """A(K, y y^T) = y^T K y / (|K| |y|^2), over leading axes."""
    inner = np.einsum("m,...mn,n->...", targets, kernels, targets)
    return inner / np.linalg.norm(kernels, axis=(-2, -1)) / (targets @ targets)


def along_targets(kernels: np.ndarray, targets: np.ndarray) -> Any:
    """y^T K y / |y|^2, over leading axes."""
    return np.einsum("m,...mn,n->...", targets, kernels, targets) / (targets @ targets)


def below(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The share of `values` (..., neurons) that is not above each of the points."""
    ordered = np.sort(values, axis=-1)
    count = np.vectorize(lambda row: np.searchsorted(row, points, "right"), signature="(n)->(m)")
    return count(ordered) / values.shape[-1]
