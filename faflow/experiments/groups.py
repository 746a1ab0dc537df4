"""Groups of variables with named dimensions, and the tree that is stored of them.

A sweep keeps the variables and leaves the tree: to make one takes as long as a small flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .lazily import xr


class Group(NamedTuple):
    """A dataset to be: variables by their names, coordinates of their dimensions, attributes."""

    variables: dict[str, xr.Variable]
    coordinates: dict[str, Any]
    attrs: dict[str, Any] | None = None


def as_tree(groups: Mapping[str, Group]) -> xr.DataTree:
    return xr.DataTree.from_dict({f"/{name}": xr.Dataset(*group) for name, group in groups.items()})
