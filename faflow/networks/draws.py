"""Random matrices, shared by initialisations and feedback: fan-in scaled, each from its own key."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from .._generator import folded, normal
from .._types import Array, Matrix

Scale = float | tuple[float, ...]


def per_matrix(scale: Scale, shapes: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """One scale per matrix. Raises ValueError if a list of scales has the wrong length."""
    if not isinstance(scale, tuple):
        return (scale,) * len(shapes)
    if len(scale) != len(shapes):
        raise ValueError(
            f"Argument `scale` must be one number or {len(shapes)} (one per matrix), but lists "
            f"{len(scale)}."
        )
    return scale


def gaussian_matrix(key: Array, shape: tuple[int, int], scale: float | Array = 1.0) -> Matrix:
    """Entries N(0, scale^2 / fan_in), fan_in = shape[1]."""
    # Multiplied by the inverse, as XLA divides by a number: the same bits however it is computed.
    found = scale * normal(key, shape) * (1 / shape[1] ** 0.5)
    return found if isinstance(found, jax.Array) else jax.device_put(found)


def mean_field_readout(richness: float, width: int) -> float:
    """The `scale` of maps to the outputs in the mean-field scaling, 1 / (gamma_0 sqrt N): entries
    of a fan-in scaled read-out become N(0, 1 / (gamma_0 N)^2), N the last hidden width."""
    return 1.0 / (richness * width**0.5)


def uniform_matrix(key: Array, shape: tuple[int, int], scale: float | Array = 1.0) -> Matrix:
    """Entries uniform with variance scale^2 / fan_in: U(-a, a), a = scale sqrt(3 / fan_in)."""
    bound = (3.0 / shape[1]) ** 0.5
    return scale * jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def orthogonal_matrix(key: Array, shape: tuple[int, int], scale: float | Array = 1.0) -> Matrix:
    """scale times a Haar-distributed matrix with orthonormal rows (or columns, if more rows)."""
    return scale * jax.random.orthogonal(key, max(shape))[: shape[0], : shape[1]]


def keys_for(key: Array, count: int) -> list[Array]:
    """One key per matrix: matrix i keeps its draw when others change shape."""
    return [folded(key, index) for index in range(count)]


def frobenius(matrix: Array) -> Array:
    """||M||_F."""
    return jnp.sqrt(jnp.sum(matrix * matrix))
