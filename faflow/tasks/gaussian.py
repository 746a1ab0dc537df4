"""Gaussian inputs with a linear teacher or with random targets."""

from collections.abc import Callable

import numpy as np

from ._host import Key, Raw, Real, generators, lookup, non_negative, positive


def gaussian(
    *,
    key: Key,
    samples: int,
    features: int,
    outputs: int = 1,
    noise: Real = 0.0,
    target: str = "linear",
) -> Raw:
    """X_ij ~ N(0, 1), X (samples, features); targets (samples, outputs).

    target = "linear": Y = X A^T + noise * N(0, 1) with A_kj ~ N(0, 1/features), A (outputs,
    features), on the inputs as the student sees them (after preprocessing). target = "random":
    Y_ij ~ N(0, 1), independent of X, plus the noise. The least-squares setting of Robertson &
    Koyejo 2023, Theorem 2, when samples <= features; the sizes are not from the paper.
    ValueError if a size is < 1, the noise is negative or the target is unknown.
    """
    positive("features", features)
    positive("outputs", outputs)
    draw = lookup("target", target, GAUSSIAN_TARGETS)
    inputs_rng, targets_rng, noise_rng = generators(key, 3)
    x = inputs_rng.standard_normal((positive("samples", samples), features))
    clean = draw(targets_rng, features, outputs)
    return x, add_noise(clean, noise_rng, non_negative("noise", noise))


def add_noise(
    clean: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator, noise: float
) -> Callable[[np.ndarray], np.ndarray]:
    """X -> clean(X) + noise * N(0, 1)."""

    def noisy(x: np.ndarray) -> np.ndarray:
        y = clean(x)
        return y + noise * rng.standard_normal(y.shape) if noise else y

    return noisy


def _linear(
    rng: np.random.Generator, features: int, outputs: int
) -> Callable[[np.ndarray], np.ndarray]:
    teacher = rng.standard_normal((outputs, features)) / np.sqrt(features)
    return lambda x: x @ teacher.T


def _random(
    rng: np.random.Generator, features: int, outputs: int
) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: rng.standard_normal((len(x), outputs))


GAUSSIAN_TARGETS = {"linear": _linear, "random": _random}
