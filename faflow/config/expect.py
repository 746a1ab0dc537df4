"""[expect]: bounds on the summary, so that a config can be a test.

A dotted path into `summary.json` maps to `{max=…}`, `{min=…}`, both, `{near=…, within=…}` or a
plain value. Where the path leads to a list, every element must satisfy the bound.
"""

import math
from collections.abc import Mapping
from typing import Any

from .._results import Outcome
from .errors import ConfigError, nearest, shown
from .kinds.catalogue import catalogue

Bounds = dict[str, Any]  # dotted path -> table of limits, or a plain value

LIMITS = frozenset({"max", "min", "near", "within"})
ALWAYS = ("name", "status", "t_final", "loss", "solver", "facts", "warnings")


def parse_bounds(table: Mapping[str, Any], path: str = "") -> Bounds:
    """The bounds of an `[expect]` table, nested or with quoted dotted keys. ConfigError if bad."""
    found: Bounds = {}
    for key, value in table.items():
        where = f"{path}.{key}" if path else key
        _check_section(where)
        if isinstance(value, Mapping) and value and set(value) <= LIMITS:
            _check_limits(where, value)
            found[where] = dict(value)
        elif isinstance(value, Mapping) and value:
            found |= parse_bounds(value, where)
        elif isinstance(value, Mapping):
            raise ConfigError(f"expect.{where}", "is an empty table; give max, min or near, within")
        else:
            _check_status(where, value)
            found[where] = value
    return found


def judge_bounds(bounds: Bounds, summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per path the bound, the value found (None if there is none) and whether it holds."""
    verdicts = {}
    for path, bound in bounds.items():
        value = _look_up(summary, path)
        verdicts[path] = {"bound": bound, "value": value, "ok": satisfies(value, bound)}
    return verdicts


def satisfies(value: Any, bound: Any) -> bool:
    """Whether a value, or every element of a list that is not empty, keeps a bound."""
    if isinstance(value, list | tuple) and not isinstance(bound, list):
        return len(value) > 0 and all(satisfies(item, bound) for item in value)
    if not isinstance(bound, Mapping):
        return isinstance(value, bool) == isinstance(bound, bool) and value == bound
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return False
    low, high = bound.get("min", -math.inf), bound.get("max", math.inf)
    close = abs(value - bound["near"]) <= bound["within"] if "near" in bound else True
    return low <= value <= high and close


def _look_up(value: Any, path: str) -> Any:
    """What a dotted path leads to; names on the way may have dots themselves."""
    if isinstance(value, list):
        first, _, rest = path.partition(".")
        found = value[int(first)] if first.isdecimal() and int(first) < len(value) else None
        return _look_up(found, rest) if rest else found
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if path == key:
            return inner
        if (
            path.startswith(f"{key}.")
            and (found := _look_up(inner, path[len(key) + 1 :])) is not None
        ):
            return found
    return None


def _check_section(where: str) -> None:
    first = where.split(".")[0]
    sections = (*ALWAYS, *catalogue()["measures"])
    if first not in sections:
        raise ConfigError(f"expect.{where}", f"is no part of a summary; {nearest(first, sections)}")


def _check_status(where: str, value: Any) -> None:
    statuses = [str(outcome) for outcome in Outcome]
    if where == "status" and value not in statuses:
        raise ConfigError("expect.status", f"is {shown(value)}; {nearest(str(value), statuses)}")


def _check_limits(where: str, limits: Mapping[str, Any]) -> None:
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"expect.{where}.{name}", f"is {shown(value)}; it must be a number")
    if ("near" in limits) != ("within" in limits):
        raise ConfigError(f"expect.{where}", "needs near and within together; add the other one")
    if limits.get("within", 0) < 0:
        raise ConfigError(f"expect.{where}.within", f"is {limits['within']}; it must be >= 0")
    if limits.get("min", -math.inf) > limits.get("max", math.inf):
        raise ConfigError(f"expect.{where}", "has min above max; swap them")
