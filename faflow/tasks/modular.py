"""Addition modulo a number, as classification."""

import numpy as np

from ._host import Drawn, Key, Real, generators
from .selection import draw_rows, one_hot


def modular_addition(
    *,
    key: Key,
    modulus: int,
    share: Real = 1.0,
    samples: int | None = None,
    tokens: bool = False,
) -> Drawn:
    """Pairs (a, b), 0 <= a, b < p, and their class (a + b) mod p, p = `modulus`.

    Targets are one-hot (samples, p). X is one-hot, (samples, 2, p), or with `tokens` the numbers
    themselves, (samples, 2), for models with an embedding. All p^2 pairs in order, or a `share` of
    them, or so many `samples`, drawn from `key` without repetition: the others are there to be
    generalised to. The one-hot target is the cyclic convolution of the two inputs. Power et al.
    2022 (grokking); Nanda et al. 2023 (what a transformer learns); Gromov 2023 (two quadratic
    layers that do it).
    ValueError if p < 2, if the share is not in (0, 1], if both are given, or if there are fewer
    pairs than asked for.
    """
    if modulus < 2:
        raise ValueError(f"Argument `modulus` must be >= 2, but is {modulus}.")
    if not 0 < share <= 1:
        raise ValueError(f"Argument `share` must be > 0 and <= 1, but is {share}.")
    if samples is not None and share != 1:
        raise ValueError(
            f"Argument `samples` must be left out where a share is given, but is {samples} "
            f"(share: {share}); give one of them."
        )
    pairs = np.arange(modulus**2)
    if samples is not None or share != 1:
        (rng,) = generators(key, 1)
        count = max(1, round(share * len(pairs))) if samples is None else samples
        pairs = draw_rows(rng, pairs, count)
    ab = np.stack(np.divmod(pairs, modulus), axis=1)
    x = ab if tokens else one_hot(ab, modulus)[0]
    return Drawn(x, one_hot(ab.sum(axis=1) % modulus, modulus)[0], tokens=tokens)
