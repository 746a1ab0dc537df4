"""What `sensitivity.to` names, as directions in which the problem of a config moves.

A number of the config moves the problem that is drawn from it. Draws are made on the host, so their
derivative is taken by differences of fourth order of the *draws*, which are smooth and known to
rounding; the flow itself is never differenced. A whole array moves entry by entry.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array
from ...config.dump import config_table
from ...config.errors import ConfigError, nearest, shown
from ...config.load import copied, parse
from ...config.resolve import Resolved, resolve_config
from ...feedback import Feedback
from ...flow import FlowProblem
from ...setup.problem import set_up
from ..measure import Experiment
from ..variables.weights import named_arrays

STEP = 2.0**-10  # of the number; differences of fourth order are then exact to 1e-12 or so
ROUGH = 1e-4  # share by which two differences, over h and 2h, may disagree
Ways = list[Array | None]  # a direction: one array for every array of the problem, None: it rests


class Number(NamedTuple):
    """A number of the config: its value, the direction it moves the problem in, and d t1."""

    name: str
    value: float
    ways: Ways
    end: float


class Whole(NamedTuple):
    """A whole array: its place among the problem's arrays."""

    name: str
    place: int


Move = Number | Whole


class Pieces(NamedTuple):
    """A problem's arrays, and how to make it of others."""

    arrays: list[Array]
    make: Callable[[Sequence[Any]], FlowProblem]


def pieces_of(problem: FlowProblem) -> Pieces:
    moving, rest = eqx.partition(problem, eqx.is_inexact_array)
    arrays, tree = jax.tree.flatten(moving)
    return Pieces(arrays, lambda given: eqx.combine(jax.tree.unflatten(tree, given), rest))


def filled(arrays: Sequence[Array], ways: Ways) -> list[Array]:
    """A direction with zeros where it rests."""
    pairs = zip(arrays, ways, strict=True)
    return [jnp.zeros_like(array) if way is None else way for array, way in pairs]


def moves_of(resolved: Resolved, experiment: Experiment) -> list[Move]:
    """All that `sensitivity.to` names. ConfigError for a name that is none, and for what is
    static."""
    section = resolved.config.sensitivity
    assert section is not None
    places, found = _places(experiment.problem), []
    for index, name in enumerate(section.to):
        where = f"sensitivity.to.{index}"
        if name in places:
            found.append(Whole(name, places[name]))
        else:
            found.append(_number(resolved, experiment, name, where, list(places)))
    return found


def check_moves(resolved: Resolved, experiment: Experiment) -> list[tuple[str, int]]:
    """The names, and how many entries each has, at the price of four more drawings per number."""
    section = resolved.config.sensitivity
    assert section is not None
    places, arrays = _places(experiment.problem), pieces_of(experiment.problem).arrays
    found = []
    for index, name in enumerate(section.to):
        where = f"sensitivity.to.{index}"
        if name in places:
            found.append((name, arrays[places[name]].size))
            continue
        _number(resolved, experiment, name, where, list(places))
        found.append((name, 1))
    return found


def with_number(resolved: Resolved, name: str, value: float) -> Resolved:
    """The same config with another number. ConfigError if it can't have it."""
    table = _with(copied(config_table(resolved)), name.split("."), value)
    for section in ("sensitivity", "expect"):
        table.pop(section, None)
    return resolve_config(parse(table), resolved.base)


def _places(problem: FlowProblem) -> dict[str, int]:
    """Where among the problem's arrays those are that have names."""
    parts = pieces_of(problem)
    numbered: Any = parts.make([np.float64(i) for i in range(len(parts.arrays))])
    at = {}
    for part in ("weights", "feedback"):
        pairs = zip(
            jax.tree.leaves(getattr(problem, part)),
            jax.tree.leaves(getattr(numbered, part)),
            strict=True,
        )
        at[part] = [(leaf, int(i)) for leaf, i in pairs if eqx.is_inexact_array(leaf)]
    named = named_arrays(problem.weights, problem.feedback, problem.data.inputs)
    own = set(named_arrays(problem.weights, Feedback(), problem.data.inputs))
    found = {}
    for name, array in named.items():
        part = "weights" if name in own else "feedback"
        found |= dict((name, i) for leaf, i in at[part] if leaf is array)  # noqa: C402
    return found


def _value(resolved: Resolved, name: str, where: str, arrays: Sequence[str]) -> float:
    """The number of that name. ConfigError if there is none, or none that can move."""
    here: Any = config_table(resolved)
    numbers = list(_numbers(here))
    for part in name.split("."):
        inside = here.get(part) if isinstance(here, dict) else None
        if isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            inside = here[int(part)]
        if inside is None:
            guess = nearest(name, [*numbers, *arrays])
            raise ConfigError(where, f"is '{name}', no number of this config and no array; {guess}")
        here = inside
    if isinstance(here, bool) or not isinstance(here, float):
        kind = (
            "a whole number" if isinstance(here, int) and not isinstance(here, bool) else "static"
        )
        what = f"is '{name}', which is {kind} ({shown(here)}) and has no derivative"
        raise ConfigError(where, f"{what}; name a number such as {_some(numbers)}, or an array")
    return here


def _numbers(table: Any, path: str = "") -> Any:
    """Dotted names of all numbers that may have a derivative."""
    items = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in items:
        name = f"{path}.{key}" if path else str(key)
        if name in ("expect", "sensitivity") or (path == "flow" and key != "t1"):
            continue
        if isinstance(value, dict | list):
            yield from _numbers(value, name)
        elif isinstance(value, float):
            yield name


def _some(numbers: Sequence[str]) -> str:
    liked = [name for name in numbers if name.split(".")[0] in ("feedback", "init", "rule", "task")]
    return ", ".join([*liked, "flow.t1"][:3])


def _step(value: float) -> float:
    return STEP * abs(value) if value else STEP


def _number(
    resolved: Resolved, experiment: Experiment, name: str, where: str, arrays: Sequence[str]
) -> Number:
    value = _value(resolved, name, where, arrays)
    h = _step(value)
    moved = [_moved(resolved, experiment, name, value + k * h, where) for k in (-2, -1, 1, 2)]
    ways: Ways = []
    for here, column in zip(
        pieces_of(experiment.problem).arrays, zip(*(m[0] for m in moved), strict=True), strict=True
    ):
        slope = _slope([np.asarray(one) for one in (*column[:2], here, *column[2:])], h)
        if slope is None:
            what = f"is '{name}', in which what is drawn is not smooth at {value:g}"
            raise ConfigError(where, f"{what}; it has no derivative there, choose another value")
        ways.append(None if not np.any(slope) else jnp.asarray(slope))
    ends = [np.asarray(end) for _, end in moved]
    end = _slope([*ends[:2], np.asarray(experiment.ts[-1]), *ends[2:]], h)
    return Number(name, value, ways, 0.0 if end is None else float(end))


def _slope(at: Sequence[np.ndarray], h: float) -> np.ndarray | None:
    """The derivative at the middle of five values, h apart; None where they are not smooth."""
    low, below, here, above, high = at
    near, far = (above - below) / (2 * h), (high - low) / (4 * h)
    size = np.linalg.norm(near) + np.linalg.norm(far)
    bend = np.linalg.norm(above - 2 * here + below) / h
    rounding = 1e-12 * np.linalg.norm(here) / h
    if np.linalg.norm(near - far) > ROUGH * size + rounding or bend > 0.1 * size + rounding:
        return None
    return np.asarray((4 * near - far) / 3)


def _moved(
    resolved: Resolved, experiment: Experiment, name: str, value: float, where: str
) -> tuple[list[Array], Array]:
    """The problem's arrays and the last time under another number. ConfigError if it can't be one,
    if what is compiled differs, or if nothing does."""
    try:
        setup = set_up(with_number(resolved, name, value), trusted=True)
    except ConfigError as error:
        what = f"is '{name}', which can't move from where it is ({error})"
        raise ConfigError(
            where, f"{what}; choose another value of it, or another number"
        ) from error
    before, after = (
        eqx.partition(p, eqx.is_inexact_array) for p in (experiment.problem, setup.problem)
    )
    if not eqx.tree_equal(before[1], after[1]) or _shapes(before[0]) != _shapes(after[0]):
        what = f"is '{name}', which is compiled into the flow as it is (static)"
        raise ConfigError(where, f"{what} and has no derivative; remove it")
    arrays = jax.tree.leaves(after[0])
    still = all(map(np.array_equal, jax.tree.leaves(before[0]), arrays))
    if still and setup.ts[-1] == experiment.ts[-1]:
        what = f"is '{name}', which moves nothing that this flow is made of"
        raise ConfigError(where, f"{what} (it may say how it is integrated); remove it")
    return arrays, setup.ts[-1]


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in jax.tree.leaves(tree)]


def _with(table: Any, parts: Sequence[str], value: float) -> Any:
    """A table or list with another number inside."""
    key: Any = int(parts[0]) if isinstance(table, list) else parts[0]
    inner = value if len(parts) == 1 else _with(table[key], parts[1:], value)
    if isinstance(table, list):
        return [*table[:key], inner, *table[key + 1 :]]
    return {**table, key: inner}
