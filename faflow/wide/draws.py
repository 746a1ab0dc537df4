"""Normals for the sampled theory: Sobol points with mirror images and exact second moments.

Of S / 4 scrambled Sobol points, the best coordinates for the first times, each comes four times:
(u, b), (u, -b), (-u, b), (-u, -b) with u the noise of forward and b that of backward fields, as the
theory's law is the same for all four. The coordinates are then turned by a triangular matrix so
that their second moments are the unit matrix's: what is linear in the noise is exact.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Array

IMAGES = 4


class LayerNoise(NamedTuple):
    """Of one layer, S particles: `forward` (T, P, S), or (P, S) in the first; `backward`
    (T, C, S), or (1, S) in the last, of r or, C = 2 P, of v and r; `fresh`, the same for what
    feedback has of its own, or (1, S) in all layers for direct feedback; else None."""

    forward: Array
    backward: Array
    fresh: Array | None


def normals(points: int, dimensions: int, seed: Any, draw: str) -> np.ndarray:
    """(points, dimensions): "sobol", scrambled by the seed (any of numpy's), or "random"."""
    if draw == "random":
        return np.random.default_rng(seed).standard_normal((points, dimensions))
    from scipy.special import ndtri
    from scipy.stats import qmc

    sobol = qmc.Sobol(dimensions, scramble=True, seed=np.random.default_rng(seed), bits=52)
    return ndtri(sobol.random(points))


def layer_noise(
    rule: str, hidden: int, times: int, samples: int, count: int, seed: int
) -> tuple[LayerNoise, ...]:
    """That of the L = `hidden` layers for one batch of S = `count` particles."""
    shape = times, samples, count
    return tuple(_layer(rule, l == 0, l == hidden - 1, shape, (seed, l)) for l in range(hidden))


def _layer(
    rule: str, first: bool, last: bool, shape: tuple[int, int, int], seed: tuple[int, int]
) -> LayerNoise:
    times, samples, count = shape
    aligned, direct = rule == "feedback-alignment", rule == "direct-feedback-alignment"
    sent = (2 if aligned else 1) * samples  # backward signals through W^T
    # Coordinates: those without time, then one block a time, so that early times get good ones.
    still = (samples if first else 0, int(last), int(direct or (last and aligned)))
    moving = (0 if first else samples, 0 if last else sent, 0 if last or not aligned else sent)
    dimensions = sum(still) + times * sum(moving)
    points = normals(count // IMAGES, dimensions, np.random.SeedSequence(seed), "sobol")
    begins = np.split(points[:, : sum(still)], np.cumsum(still)[:-1], axis=1)
    blocks = points[:, sum(still) :].reshape(len(points), times, sum(moving))
    parts = np.split(blocks, np.cumsum(moving)[:-1], axis=2)
    forward = _mirrored(_whitened(_joined(begins[:1], parts[:1])), (1, 1, -1, -1))
    back = _mirrored(_whitened(_joined(begins[1:], parts[1:])), (1, -1, 1, -1))
    sizes = still[1], still[2], times * moving[1], times * moving[2]
    lead, own, sent_back, own_back = np.split(back, np.cumsum(sizes)[:-1])
    in_time = lambda x: x.reshape(times, -1, count)  # noqa: E731
    return LayerNoise(
        _array(forward if first else in_time(forward)),
        _array(lead if last else in_time(sent_back)),
        None if not (aligned or direct) else _array(own if last or direct else in_time(own_back)),
    )


def _joined(begins: list[np.ndarray], parts: list[np.ndarray]) -> np.ndarray:
    flat = [x.reshape(len(x), -1) for x in parts]
    return np.concatenate([*begins, *flat], axis=1)


def _whitened(points: np.ndarray) -> np.ndarray:
    """The leading columns, half as many as there are points at most, get X^T X / n = 1."""
    first = min(points.shape[1], len(points) // 2)
    lead, rest = points[:, :first], points[:, first:]
    root = np.linalg.cholesky(lead.T @ lead / len(points))
    return np.concatenate([np.linalg.solve(root, lead.T).T, rest], axis=1)


def _mirrored(points: np.ndarray, signs: tuple[int, ...]) -> np.ndarray:
    """(coordinates, S): the images, one after another."""
    return np.concatenate([sign * points for sign in signs]).T


def _array(values: np.ndarray) -> Array:
    return jnp.asarray(values, float)
