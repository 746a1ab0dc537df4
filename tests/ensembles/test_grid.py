"""Grids number their members like numpy, last axis fastest."""

import numpy as np

from faflow.ensembles import Axis, Grid

GRID = Grid((Axis("zip", {"a": (1, 2), "b": ("x", "y")}), Axis("c", {"c": (0.1, 0.2, 0.3)})))


def test_members_are_numbered_like_numpys() -> None:
    assert GRID.size == 6
    assert [GRID.place(i) for i in range(6)] == [
        tuple(int(p) for p in np.unravel_index(i, GRID.shape)) for i in range(6)
    ]
    assert GRID.values(4) == {"a": 2, "b": "y", "c": 0.2}


def test_groups_have_what_is_apart_in_common() -> None:
    assert GRID.groups(frozenset({"zip"})) == {(0,): [0, 1, 2], (1,): [3, 4, 5]}
    assert GRID.groups(frozenset({"c"})) == {(0,): [0, 3], (1,): [1, 4], (2,): [2, 5]}
    assert GRID.groups(frozenset()) == {(): list(range(6))}
