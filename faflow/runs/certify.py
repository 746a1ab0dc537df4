"""`--certify`: the same flow once more, to a tenth of its tolerance or by a second method, and how
many digits of every figure the two agree in.

x and y agree in d significant digits if |x - y| <= 5 10^{-d} max(|x|, |y|). Between a tolerance and
a tenth of it the first run's error is about the difference, by a method whose errors follow the
tolerance; a second method shares none of its errors. What is wrong in both, the equations, is the
laws' and the tests' to find.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..config.errors import ConfigError
from ..config.flow.section import REACH
from ..config.resolve import Resolved, resolve_config
from ..measures.error_control import why_loose
from ..measures.experiment import build
from ..measures.json_numbers import plain
from ..measures.measure import Note
from ..measures.registry import ERRORS
from ..measures.variables.datasets import xr
from ..measures.variables.groups import as_tree
from ..setup.split import mesh_of
from ..store import folder as store
from .run import Result, compute, integrate_timed

# Digits that a number in these precisions has.
MOST = {"float64": 15, "float32": 6}
# Sections of the summary that say what was asked for, what it cost, or where it ran.
NO_FIGURES = ("schema", "name", "solver", "facts", "environment", "warnings", "expect")
PLACES = ("worst_time",)  # where an error is largest: no figure
WORK = ("steps", "rejected", "field_evaluations")


def second_config(resolved: Resolved, solver: str | None = None) -> Resolved:
    """The config to compare with: a tenth of rtol and atol (of a fixed step), or `solver` in place
    of the flow's own at the same tolerances. ConfigError if there can be none."""
    flow, config = resolved.flow, resolved.config
    if solver is None:
        changed: dict[str, Any] = {"rtol": _tenth(flow.rtol), "atol": _tenth(flow.atol)}
        changed["atol_scales"] = flow.atol_scales
        if flow.step is not None:
            changed = {"step": _tenth(flow.step)}
        elif changed["rtol"] < REACH[config.precision]:
            what = f"needs a tenth of flow.rtol = {flow.rtol}, below what {config.precision} can "
            raise ConfigError("--certify", what + "hold; use --certify-with SOLVER")
    else:
        if solver == flow.solver:
            what = f"is '{solver}', the flow's own solver; give another, or use --certify"
            raise ConfigError("--certify-with", what)
        changed = {name: getattr(flow, name) for name in ("rtol", "atol", "atol_scales")}
        changed["solver"] = solver
    section = config.flow.model_copy(update=changed)
    try:
        return resolve_config(config.model_copy(update={"flow": section}), resolved.base)
    except ConfigError as error:
        if solver is None:
            raise
        what = str(error).removeprefix("flow.solver: ")
        raise ConfigError("--certify-with", what) from error


def certify(
    resolved: Resolved, result: Result, solver: str | None = None, *, note: Note, meter: Any = None
) -> Result:
    """`result` with `certificate` in its summary, stored if the result is.

    `by`, `solver`, `rtol`, `atol`, `step`: of the second run; `status`: how it ended. `weights`:
    relative Frobenius distance of the final weights, and its digits. `records`: of every recorded
    series the fewest digits (by its norm at a save), when, and the median. `figures`: per figure of
    the summary both values, and `digits`, or `ratio`, the first over the second, where it is itself
    an error. `none`: why no digits are claimed: atol is no small part of the weights, so that both
    runs may take the same steps, however wrong.
    """
    other = second_config(resolved, solver)
    by = "tolerance" if solver is None else "solver"
    wanted = {"by": by, **{k: getattr(other.flow, k) for k in ("solver", "rtol", "atol", "step")}}
    if wanted.items() <= result.summary.get("certificate", {}).items():
        return result
    note("certifying: the same flow once more")
    with np.errstate(all="ignore"):
        experiment = build(other)
        summary, groups = compute(
            other, experiment, note, meter, partial(integrate_timed, mesh=mesh_of(other))
        )
    most, tree = MOST[resolved.config.precision], as_tree(groups)
    norms = result.records["records"].to_dataset().get("norms")
    none = why_loose(resolved, experiment.problem, None if norms is None else norms.values)
    most = 0 if none else most
    certificate = {
        **wanted,
        "status": summary["status"],
        **({"none": none} if none else {}),
        "weights": _weights(result.records, tree, most),
        "records": _records(result.records, tree, most),
        "figures": _figures(result.summary, summary, most),
    }
    certified = {**result.summary, "certificate": plain(certificate)}
    if result.folder is not None:
        store.rewrite_summary(certified, result.folder)
    return replace(result, summary=certified)


def common_digits(one: Any, two: Any, most: int = MOST["float64"]) -> int:
    """Significant digits in which two arrays agree, by their Frobenius norms; at most `most`.

    0 too where either is not finite, unless they are equal.
    """
    first, second = np.asarray(one, float), np.asarray(two, float)
    if np.array_equal(first, second, equal_nan=True):
        return most
    gap = np.linalg.norm(first - second)
    size = max(np.linalg.norm(first), np.linalg.norm(second))
    if not np.isfinite(gap) or not np.isfinite(size):
        return 0
    return int(np.clip(math.floor(math.log10(5 * size / gap)), 0, most))


def _tenth(number: float | None) -> float | None:
    return None if number is None else float(f"{number / 10:.12g}")


def _weights(one: xr.DataTree, two: xr.DataTree, most: int) -> dict[str, Any]:
    first, second = (tree["final"].to_dataset() for tree in (one, two))
    pairs = [(first[name].values.ravel(), second[name].values.ravel()) for name in first]
    flat, other = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    gap, size = float(np.linalg.norm(flat - other)), float(np.linalg.norm(other))
    distance = gap / size if size > 0 else 0.0 if gap == 0 else math.inf
    return {"distance": distance, "digits": common_digits(flat, other, most)}


def _records(one: xr.DataTree, two: xr.DataTree, most: int) -> dict[str, Any]:
    """Over the saves that both runs reached: the fewest digits, when, and the median."""
    first, second = (tree["records"].to_dataset() for tree in (one, two))
    times = first["time"].values[: second.sizes["time"]]
    found = {}
    for name in (name for name in first if name not in WORK):
        pairs = zip(first[name].values, second[name].values, strict=False)
        counts = [common_digits(*pair, most) for pair in pairs]
        worst = int(np.argmin(counts))
        found[str(name)] = {
            "digits": counts[worst], "worst_time": times[worst], "median": float(np.median(counts))
        }  # fmt: skip
    return found


def _figures(one: Mapping[str, Any], two: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Every number, and of the words and counts those that differ."""
    found, others = {}, dict(_leaves(two))
    for path, value in _leaves(one):
        second, name = others.get(path), path.split(".")[-1]
        if name in PLACES or (value == second and not _measured(value)):
            continue
        found[path] = {"value": value, "second": second}
        if name in ERRORS:
            found[path]["ratio"] = _ratio(value, second)
        else:
            found[path]["digits"] = _agree(value, second, most)
    return found


def _measured(value: Any) -> bool:
    if isinstance(value, list):
        return any(_measured(item) for item in value)
    return isinstance(value, float)


def _leaves(summary: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every number, text or list of numbers in a summary."""
    for key, value in summary.items():
        if path or (key not in NO_FIGURES and key != "certificate"):
            if isinstance(value, Mapping):
                yield from _leaves(value, f"{path}{key}.")
            elif isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
                for index, item in enumerate(value):
                    yield from _leaves({str(index): item}, f"{path}{key}.")
            else:
                yield f"{path}{key}", value


def _agree(one: Any, two: Any, most: int) -> int | list[int]:
    """Digits of a figure, one number for every entry of a list."""
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        found = [_agree(a, b, most) for a, b in zip(one, two, strict=True)]
        return [d for item in found for d in (item if isinstance(item, list) else [item])]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (one, two))
    if numbers:
        return common_digits(one, two, most)
    return most if one == two else 0


def _ratio(one: Any, two: Any) -> float | None:
    """The largest entry of one over the largest of two; None if there is none."""
    sizes = []
    for value in (one, two):
        entries = np.array(value if isinstance(value, list) else [value], float)
        sizes.append(np.max(np.abs(entries), initial=0.0))
    return float(sizes[0] / sizes[1]) if sizes[1] > 0 and np.isfinite(sizes[0]) else None
