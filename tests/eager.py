"""Moves of data outside of any program, made by NumPy in place of one program for every shape.

`jnp.asarray` of an array, zeros, a transpose: XLA compiles each in 8 ms, JAX traces and lowers it
in some more, and the tests would make thousands of them. They copy bits or widen numbers, and round
to float32 as XLA does; sums and products stay XLA's. What is traced, sharded, committed to a device
or weakly typed is left to JAX, and so is all of it where a test counts programs: `left_to_jax`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax import lax
from jax._src.array import ArrayImpl
from jax._src.core import stage_p

NUMBERS = "biuf"  # kinds of types that NumPy and JAX both have; bfloat16 is of another
_left: list[bool] = []


@contextmanager
def left_to_jax() -> Iterator[None]:
    """Programs are made here as users have them."""
    _left.append(True)
    try:
        yield
    finally:
        _left.pop()


def install() -> None:
    _made_by(stage_p, lambda x: x)
    _made_by(lax.broadcast_in_dim_p, _broadcast)
    _made_by(lax.reshape_p, _reshaped)
    _made_by(lax.transpose_p, lambda x, *, permutation: np.transpose(x, permutation))
    _made_by(lax.squeeze_p, lambda x, *, dimensions: np.squeeze(x, dimensions))
    _made_by(lax.convert_element_type_p, _converted)


def _made_by(primitive: Any, move: Callable[..., np.ndarray | None]) -> None:
    by_program = primitive.impl

    def made(*given: Any, **how: Any) -> Any:
        if not _left and len(given) == 1 and _is_plain(given[0]):
            moved = move(np.asarray(given[0]), **how)
            if moved is not None:  # a copy, which nobody else writes to
                return jax.device_put(np.array(moved, order="C"))
        return by_program(*given, **how)

    primitive.def_impl(made)


def _is_plain(x: Any) -> bool:
    if type(x) is ArrayImpl:
        here = not x.weak_type and not x.committed and len(x.devices()) == 1
        return here and getattr(x.dtype, "kind", "") in NUMBERS
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind in NUMBERS


def _broadcast(
    x: np.ndarray, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...], sharding: Any
) -> np.ndarray | None:
    if sharding is not None:
        return None
    aligned = [1] * len(shape)
    for size, axis in zip(x.shape, broadcast_dimensions, strict=True):
        aligned[axis] = size
    return np.broadcast_to(x.reshape(aligned), shape)


def _reshaped(
    x: np.ndarray, *, new_sizes: tuple[int, ...], dimensions: Any, sharding: Any
) -> np.ndarray | None:
    return x.reshape(new_sizes) if dimensions is None and sharding is None else None


def _converted(x: np.ndarray, *, new_dtype: Any, weak_type: bool, sharding: Any) -> Any:
    kind = getattr(new_dtype, "kind", "")
    if weak_type or sharding is not None or kind not in NUMBERS:
        return None
    # Not to integers or booleans from floats, where the two may differ.
    return x.astype(new_dtype) if np.can_cast(x.dtype, new_dtype, "same_kind") else None
