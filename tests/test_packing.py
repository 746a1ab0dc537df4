"""Trees as one vector per type, and there and back through a program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from faflow._packing import in_vectors, of_vectors, unpacked_here


class Pair(NamedTuple):
    first: jax.Array
    second: jax.Array


def a_tree(seed: float):
    return {
        "counts": (jnp.arange(3) + int(seed), jnp.asarray(int(seed))),
        "pair": Pair(jnp.full((2, 3), seed), jnp.asarray(seed > 1)),
        "alone": jnp.asarray(seed, jnp.float32),
    }


def assert_same(found, wanted) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert np.array_equal(one, other)


def test_a_tree_comes_back() -> None:
    tree = a_tree(2.0)
    there = in_vectors(tree)
    assert {kind: vector.size for kind, vector in there.vectors.items()} == {
        "int64": 4, "float64": 6, "bool": 1, "float32": 1,
    }  # fmt: skip
    assert_same(of_vectors(there), tree)
    assert_same(unpacked_here(there), tree)


def test_plain_numbers_are_arrays() -> None:
    assert_same(of_vectors(in_vectors((1.0, 2))), (jnp.asarray(1.0), jnp.asarray(2)))


def test_rows_of_trees_come_back() -> None:
    trees = [a_tree(1.0), a_tree(2.0), a_tree(3.0)]
    there = [in_vectors(tree) for tree in trees]
    rows = {kind: np.stack([one.vectors[kind] for one in there]) for kind in there[0].vectors}
    wanted = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    assert_same(unpacked_here(there[0]._replace(vectors=rows)), wanted)
