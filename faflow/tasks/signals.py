"""Signals that are told apart by their frequency: for convolutions along one axis."""

import numpy as np

from ._host import Key, Raw, Real, generators, non_negative, positive
from .selection import one_hot


def signals(
    *,
    key: Key,
    samples: int,
    channels: int = 1,
    length: int = 32,
    classes: int = 3,
    noise: Real = 0.1,
) -> Raw:
    """Sums of two sines and noise, X (samples, channels, length), of the class c of the slower one.

    x_c(t) = sin(2 pi (c + 1) t / length + alpha) + 1/2 sin(2 pi m t / length + beta) + noise *
    N(0, 1), c = 0 .. classes - 1, with phases drawn anew for every channel and m, the same in all
    channels of a sample, among classes + 1 .. (length - 1) // 2. Targets are one-hot (samples,
    classes), classes equally often (the first get one more where the numbers do not divide).
    Without noise the power at the frequencies 1 .. classes, which a convolution and a pooled square
    can have, is zero but for the class's own; the phases leave every class a mean of zero, so that
    no linear map tells them. Ours. ValueError if a size is < 1, if there are fewer than two
    classes, or if `length` has no room for m, or if the noise is negative.
    """
    positive("samples", samples)
    positive("channels", channels)
    if classes < 2:
        raise ValueError(f"Argument `classes` must be >= 2, but is {classes}.")
    fastest = (length - 1) // 2
    if fastest <= classes:
        raise ValueError(
            f"Argument `length` must be >= {2 * classes + 3} for {classes} classes, but is "
            f"{length}; the frequencies need that many points."
        )
    labels_rng, phases_rng, noise_rng = generators(key, 3)
    labels = labels_rng.permutation(np.arange(samples) % classes)
    other = labels_rng.integers(classes + 1, fastest + 1, samples)
    phases = phases_rng.uniform(0, 2 * np.pi, (2, samples, channels, 1))
    turns = 2 * np.pi * np.arange(length) / length
    slow, fast = (
        np.sin(frequency[:, None, None] * turns + phase)
        for frequency, phase in zip((labels + 1, other), phases, strict=True)
    )
    x = slow + fast / 2
    x += non_negative("noise", noise) * noise_rng.standard_normal(x.shape)
    return x, one_hot(labels, classes)[0]
