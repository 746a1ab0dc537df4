"""What the hook of conftest.py sees: wrong types and shapes, and sizes that do not agree."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
import pytest
from checking import has_shape
from jaxtyping import Array, Float, PyTree, TypeCheckError

from faflow._names import closest
from faflow._types import Inputs, Samples
from faflow.tasks.losses import Squared


@pytest.mark.parametrize(
    ("hint", "shaped"),
    [
        (int, False),
        (dict[str, list[int]] | None, False),
        (Callable[[int, str], Iterator[float]], False),
        (jax.Array, False),
        (Inputs, True),
        (Samples | None, True),
        (PyTree, True),
        (PyTree[Array], True),
        (dict[str, tuple[Float[Array, " n"], ...]], True),
        (Callable[[int, Inputs], int], True),
        (Callable[..., Inputs], True),
        ("Inputs", True),
        (list["Inputs"], True),
    ],
)
def test_types_that_may_have_a_shape(hint: object, shaped: bool) -> None:
    assert has_shape(hint) is shaped


def test_wrong_types_and_shapes_are_refused() -> None:
    assert closest("lossss", ["loss"]) == "loss"
    with pytest.raises(TypeCheckError):
        closest(3, ["loss"])  # pyright: ignore
    loss, two, three = Squared(), np.zeros((2, 1)), np.zeros((3, 1))
    assert loss.value(jax.device_put(two), jax.device_put(two)).shape == (2,)
    for wrong in (two, jax.device_put(two[0]), jax.device_put(three)):  # no JAX array, rank, size
        with pytest.raises(TypeCheckError):
            loss.value(jax.device_put(two), wrong)
