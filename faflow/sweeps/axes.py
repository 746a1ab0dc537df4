"""[sweep]: from tables of config keys to the axes of a grid.

`[sweep.product]`: an axis for every key; `[sweep.zip]`: one axis that all its keys go along. A key
is dotted, as in --set, and has a list of values, or a range:

    seed = { count = 64 }                                          seeds 0, 1, ..., 63
    "feedback.scale" = { from = 0.1, to = 10, count = 9, spacing = "log" }

Axes have the names of their keys; that of [sweep.zip] has the name of its first key whose values
are all different, or "zip" where none is.

Members are numbered along the axes, so the axes have one order: that of the config, [sweep.zip]
first, or of `[sweep] order`. What is stored has an `order`, since a TOML writer moves tables behind
lists, and with them the axes.
"""

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..config.errors import ConfigError, nearest, shown
from ..config.load import assign, copied
from ..config.schema import SweepSection
from ..ensembles import Axis, Grid

ZIP = "zip"
KINDS = ("product", ZIP)
RANGE = ("from", "to", "count", "spacing")
MOST = 10_000_000  # members; more can't be meant
FIXED = {
    "name": "all members share one result",
    "expect": "its bounds are for all members",
    "sweep": "sweeps have no sweeps",
    "precision": "JAX is in one precision at a time; run two sweeps",
    "observe": "all members record the same",
    "sensitivity": "all members are differentiated alike",
    "flow.saves": "all members share their number of saves",
    "flow.extended_at": "all members share their number of saves",
}


def grid_of(section: SweepSection) -> Grid:
    """The grid of a [sweep] section. ConfigError for one that is empty, absurd or can't be."""
    product, zipped = (_columns(f"sweep.{kind}", getattr(section, kind)) for kind in KINDS)
    both = set(product) & set(zipped)
    if both:
        raise ConfigError(f"sweep.zip.{min(both)}", "is in sweep.product too; remove one of them")
    _check_inside([*zipped, *product])
    place = _order(section, [*zipped, *product])
    axes = [Axis(key, {key: values}) for key, values in product.items()]
    if zipped:
        lengths = {key: len(values) for key, values in zipped.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            raise ConfigError(
                "sweep.zip", f"needs lists of one length, but {listed}; even them out"
            )
        axes.append(_zipped({key: zipped[key] for key in sorted(zipped, key=place.index)}))
    axes.sort(key=lambda axis: min(map(place.index, axis.columns)))
    if not axes:
        what = "has no axis; give one, for instance [sweep.product] seed = {count = 64}"
        raise ConfigError("sweep", what)
    grid = Grid(tuple(axes))
    if grid.size > MOST:
        raise ConfigError("sweep", f"has {grid.size} members; lower it ({MOST} at most)")
    return grid


def _order(section: SweepSection, keys: Sequence[str]) -> Sequence[str]:
    """The keys in their one order."""
    if section.order is None:
        return keys
    if sorted(section.order) != sorted(keys):
        what = f"lists {', '.join(section.order)}; list every key once: {', '.join(keys)}"
        raise ConfigError("sweep.order", what)
    return section.order


def _check_inside(keys: Collection[str]) -> None:
    """ConfigError if a table is varied whole and a key inside it too: one would undo the other."""
    for outer, inner in itertools.permutations(keys, 2):
        if inner.startswith(f"{outer}."):
            what = f"is inside {outer}, which is varied too; vary {outer} alone, or its keys alone"
            raise ConfigError(f"sweep: {inner}", what)


def _zipped(columns: dict[str, tuple[Any, ...]]) -> Axis:
    """The axis that all columns go along, by the name of the first that has no value twice."""
    if twice := _twice([list(row) for row in zip(*columns.values(), strict=True)]):
        raise ConfigError("sweep.zip", f"lists {twice} twice; remove one")
    return Axis(next((key for key in columns if not _twice(columns[key])), ZIP), columns)


def _twice(values: Sequence[Any]) -> str:
    """A value that is there twice, as JSON; "" if there is none."""
    seen: set[str] = set()
    for text in (json.dumps(value, sort_keys=True) for value in values):
        if text in seen:
            return text
        seen.add(text)
    return ""


def structural(grid: Grid) -> frozenset[str]:
    """The axes whose members need programs of their own: all but those of numbers and seeds."""
    return frozenset(
        axis.name
        for axis in grid.axes
        if not all(_numbers(key, values) for key, values in axis.columns.items())
    )


def with_values(table: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A config's tables with the dotted keys of `values` set and without [sweep]."""
    result = copied({key: given for key, given in table.items() if key != "sweep"})
    for key, value in values.items():
        assign(result, key.split("."), copied(value), f"make it one, since {key} is varied")
    return result


def coordinates_in(table: Mapping[str, Any], grid: Grid) -> dict[str, Any]:
    """What a member's tables say of all that is varied: where it belongs in the grid."""
    found: dict[str, Any] = {}
    for key in grid.names():
        value: Any = table
        for part in key.split("."):
            value = value[part]
        found[key] = value
    return found


def same_values(one: Any, other: Any) -> bool:
    """Whether two values are the same to a config: 1 is not 1.0, and no order of keys counts."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def label(value: Any) -> str | int | float:
    """A value as a coordinate of the data set: numbers stay, everything else becomes text."""
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return "-".join(map(str, value))
    if isinstance(value, dict) and isinstance(value.get("kind"), str):
        rest = ", ".join(f"{k}={label(v)}" for k, v in value.items() if k != "kind")
        return f"{value['kind']}({rest})" if rest else value["kind"]
    return json.dumps(value)


def labels(values: Sequence[Any]) -> list[Any]:
    """Values as coordinates that tell them apart: all numbers or all text."""
    found = [label(value) for value in values]
    if len({isinstance(item, str) for item in found}) > 1:
        found = [str(item) for item in found]
    exact = [json.dumps(value, sort_keys=True) for value in values]
    return found if len(set(found)) == len(set(exact)) else exact  # 1 and 1.0, "3-4" and [3, 4]


def _numbers(key: str, values: tuple[Any, ...]) -> bool:
    if key.split(".")[-1] == "seed":
        return True
    return all(isinstance(value, int | float) for value in values) and any(
        isinstance(value, float) for value in values
    )


def _columns(path: str, table: Mapping[str, Any], parents: str = "") -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for name, given in table.items():
        key = f"{parents}.{name}" if parents else name
        if isinstance(given, Mapping) and given and not set(given) <= set(RANGE):
            new = _columns(path, given, key)
        else:
            new = {key: _values(path, key, given)}
        if twice := new.keys() & found.keys():
            what = "is given twice, as a table's key and as a dotted one; remove one"
            raise ConfigError(f"{path}.{min(twice)}", what)
        found |= new
    return found


def _values(path: str, key: str, given: Any) -> tuple[Any, ...]:
    where = f"{path}.{key}"
    _check_key(where, key)
    values = _range(where, key, given) if isinstance(given, Mapping) else given
    if not isinstance(values, list | tuple):
        what = f"is {shown(given)}; give a list of values, or {{count = n}} for seeds"
        raise ConfigError(where, what)
    if not values:
        raise ConfigError(where, "is an empty list; give at least one value")
    for inside in (inside for value in values for inside in _keys_inside(value)):
        _check_key(where, f"{key}.{inside}")
    if path != f"sweep.{ZIP}" and (twice := _twice(values)):
        raise ConfigError(where, f"lists {twice} twice; remove one")
    return tuple(values)


def _keys_inside(value: Any) -> Iterator[str]:
    """Dotted keys of all that a table sets."""
    for key, item in value.items() if isinstance(value, Mapping) else ():
        yield key
        yield from (f"{key}.{rest}" for rest in _keys_inside(item))


def _check_key(where: str, key: str) -> None:
    parts = key.split(".")
    for fixed, why in FIXED.items():
        if parts[: fixed.count(".") + 1] == fixed.split("."):
            raise ConfigError(where, f"can't be varied: {why}; remove it")


def _range(where: str, key: str, table: Mapping[str, Any]) -> list[Any]:
    spacing, count = table.get("spacing", "linear"), table.get("count")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        what = f"has count = {shown(count)}; it must be a whole number from 1 to {MOST}"
        raise ConfigError(where, what)
    if key.split(".")[-1] == "seed" and "to" not in table:
        first = table.get("from", 0)
        if isinstance(first, bool) or not isinstance(first, int):
            raise ConfigError(where, f"has from = {shown(first)}; seeds are whole numbers")
        return list(range(first, first + count))
    if spacing not in ("linear", "log"):
        what = f"has spacing = {shown(spacing)}; {nearest(str(spacing), ('linear', 'log'))}"
        raise ConfigError(where, what)
    ends: Any = [table.get("from"), table.get("to")]
    for name, end in zip(("from", "to"), ends, strict=True):
        if isinstance(end, bool) or not isinstance(end, int | float):
            raise ConfigError(where, f"has {name} = {shown(end)}; it must be a number")
    if spacing == "log" and min(ends) <= 0:
        raise ConfigError(where, f"has from = {ends[0]}, to = {ends[1]}; log needs both above 0")
    values = np.geomspace(*ends, count) if spacing == "log" else np.linspace(*ends, count)
    if not all(a < b for a, b in itertools.pairwise(sorted(values))):
        raise ConfigError(where, f"has {count} values that are not all different; lower count")
    return values.tolist()
