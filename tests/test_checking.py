"""What the hook of conftest.py sees: wrong types and shapes, and sizes that do not agree."""

from collections.abc import Callable, Iterator

import jax
import jaxtyping
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


@pytest.mark.parametrize("taken", [1, 2])
def test_the_result_has_the_sizes_of_the_arguments(taken: int) -> None:
    def shorter(x: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, " n"]:
        return (x + y)[:taken]

    two = jax.device_put(np.zeros(2))
    checked = jaxtyping.jaxtyped(shorter)  # as conftest.py has replaced it
    assert checked.__name__ == "shorter"
    if taken == 2:
        assert checked(two, y=two).shape == (2,)
        assert checked(checked(two, two)[:1], two[:1]).shape == (1,)  # each call has its own sizes
        return
    with pytest.raises(TypeCheckError):
        checked(two, two)


@pytest.mark.parametrize("call", [1, 2])
def test_functions_made_again_are_checked_each(call: int) -> None:
    """By code that is written once; each calls its own function, under its own annotations."""

    def made(kind: type, taken: int):
        def one(x: kind, *, more: int = taken) -> Float[Array, " n"]:  # pyright: ignore
            return jax.device_put(np.zeros(more))

        return jaxtyping.jaxtyped(one)

    for kind, taken in ((int, call), (int, 3), (str, 4)):
        one = made(kind, taken)
        assert one.__name__ == "one"
        assert one(kind(1)).shape == (taken,) and one(kind(1), more=5).shape == (5,)
        for wrong, more in ((b"", 1), (kind(1), "2"), (kind(1), (1, 1))):
            with pytest.raises(TypeCheckError):
                one(wrong, more=more)
