"""The derivatives of figures, by the limit's equations where laws close them, else by the flow."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array
from ...flow import FlowError, check_polish, polish
from ...sensitivity import limit_of_flow
from ...sensitivity.limit import DENSE
from .ends import End, EndsMoved
from .figures import AT_ZERO, AskedFigure
from .moves import Move, Number, Pieces, Ways, Whole, filled

Seen = Callable[[Sequence[Array], End], Array]  # a figure of the arrays and of the end

ONE_BY_ONE = 256  # entries that are taken forwards, one by one, where nothing goes back


class FigureSlopes(NamedTuple):
    """Of one figure: its value, by what its derivatives are (and why not by its limit), the
    derivatives by name, of the shape of the value, then of the array, and why there are none."""

    value: np.ndarray
    by: str
    to: dict[str, np.ndarray]
    why: dict[str, str]
    instead: str = ""


Failure = (ValueError, FlowError, FloatingPointError)


def figure_slopes(
    figures: Sequence[AskedFigure], moves: Sequence[Move], ends: EndsMoved, end: End
) -> dict[str, FigureSlopes]:
    """Of all figures at the `end` of a flow."""
    found: dict[str, FigureSlopes] = {}
    rest = []
    for figure in figures:
        told = _of_limit(figure, moves, ends, end) if figure.of_limit else ""
        if isinstance(told, FigureSlopes):
            found[figure.name] = told
        else:
            rest.append((figure, told))
    along = _of_flow([figure for figure, _ in rest], moves, ends, end)
    for figure, instead in rest:
        found[figure.name] = along[figure.name]._replace(instead=instead)
    return {figure.name: _sound(figure, found[figure.name]) for figure in figures}


def _sound(figure: AskedFigure, slopes: FigureSlopes) -> FigureSlopes:
    """Without numbers that are none."""
    why = dict(slopes.why)
    for name, slope in slopes.to.items():
        if figure.distance and np.max(np.abs(slopes.value)) < AT_ZERO:
            why[name] = "the distance is 0, where it has no derivative"
        elif not np.all(np.isfinite(slope)):
            why[name] = "not finite"
    return slopes._replace(to={k: v for k, v in slopes.to.items() if k not in why}, why=why)


def _of_limit(
    figure: AskedFigure, moves: Sequence[Move], ends: EndsMoved, end: End
) -> FigureSlopes | str:
    """By the laws; in words why not."""
    problem, parts, (weights, feedback) = ends.problem, ends.parts, end
    horizon = float(ends.ts[-1])
    try:
        check_polish(problem)
        if sum(leaf.size for leaf in jax.tree.leaves(weights)) > DENSE:
            return f"the equations of limits are formed up to {DENSE} weights"
        polished = polish(problem, weights, horizon)
        if not bool(polished.converged) or bool(polished.far):
            return f"the flow is not at rest at t = {horizon:g}; raise flow.t1"
        there = polished.weights
        see = jax.jit(lambda weights: figure.see(problem, weights, feedback))

        @jax.jit
        def seen(arrays: Sequence[Any]) -> Array:
            own = parts.make(arrays)
            return figure.see(own, there, own.feedback)

        def limit(arrays: Sequence[Any]) -> Array:
            given = limit_of_flow(parts.make(arrays), horizon, see, ends.numerics, end=weights)
            return given.value + seen(arrays)  # twice, moved in one each

        value = np.asarray(see(there))

        to = {}
        for move in moves:
            if isinstance(move, Number):
                if move.end and all(way is None for way in move.ways):
                    to[move.name] = np.zeros_like(value)
                    continue
                way = filled(parts.arrays, move.ways)
                to[move.name] = np.asarray(jax.jvp(limit, (parts.arrays,), (way,))[1])
            else:
                of = _in_place(limit, parts, move)
                array, rows = parts.arrays[move.place], value.size
                jacobian = jax.jacfwd if array.size <= rows else jax.jacrev
                to[move.name] = np.asarray(jacobian(of)(array))
        return FigureSlopes(value, "limit", to, {})
    except Failure as error:
        return _said(error).split(";")[0]
    except jax.errors.JAXTypeError:
        return "the laws of this rule depend on numbers that no derivative can follow"


def _in_place(
    function: Callable[[Sequence[Any]], Array], parts: Pieces, move: Whole
) -> Callable[[Array], Array]:
    def of(array: Array) -> Array:
        given: list[Any] = list(parts.arrays)
        given[move.place] = array
        return function(given)

    return of


def _of_flow(
    figures: Sequence[AskedFigure], moves: Sequence[Move], ends: EndsMoved, end: End
) -> dict[str, FigureSlopes]:
    if not figures:
        return {}
    seen = {figure.name: _seen(figure, ends) for figure in figures}
    values = {name: np.asarray(see(ends.parts.arrays, end)) for name, see in seen.items()}
    found = {name: FigureSlopes(value, "flow", {}, {}) for name, value in values.items()}
    wholes = [move for move in moves if isinstance(move, Whole)]
    entries = sum(ends.parts.arrays[move.place].size for move in wholes)
    components = sum(value.size for value in values.values())
    cheaper = _one_by_one(ends, entries, components)
    numbers = [move for move in moves if isinstance(move, Number)]
    groups: list[tuple[Sequence[Move], Any]] = [
        ([move for move in numbers if not move.end], _pushed),
        *(([move], _pushed) for move in numbers if move.end),
        (wholes, _pushed if cheaper else _backwards),
    ]
    for some, way in groups:
        if not some:
            continue
        try:
            told = way(seen, some, ends, end)
        except Failure as error:
            why = {move.name: _said(error) for move in some}
            found = {name: slopes._replace(why=slopes.why | why) for name, slopes in found.items()}
            continue
        for name, to in told.items():
            found[name] = found[name]._replace(to=found[name].to | to)
    return {
        name: slopes._replace(to={m.name: slopes.to[m.name] for m in moves if m.name in slopes.to})
        for name, slopes in found.items()
    }


def _one_by_one(ends: EndsMoved, entries: int, components: int) -> bool:
    """Whether a flow per entry is the cheaper way, or the only one."""
    if ends.numerics.kinks == "exact" or ends.numerics.project:
        return True
    return entries <= 2 * components or (not ends.goes_back and entries <= ONE_BY_ONE)


def _pushed(
    seen: Mapping[str, Seen], moves: Sequence[Move], ends: EndsMoved, end: End
) -> dict[str, Any]:
    """Forwards: a flow per direction."""
    arrays, ways, last = ends.parts.arrays, [], []
    for move in moves:
        if isinstance(move, Number):
            ways.append(move.ways)
            last.append(move.end)
            continue
        size, shape = arrays[move.place].size, arrays[move.place].shape
        for unit in np.eye(size).reshape(size, *shape):
            ways.append(
                [jnp.asarray(unit) if i == move.place else None for i in range(len(arrays))]
            )
            last.append(0.0)
    changes = ends.push(ways, last)
    found: dict[str, Any] = {}
    for name, see in seen.items():
        columns = iter([_moved(see, ends, end, *each) for each in zip(ways, changes, strict=True)])
        found[name] = {
            move.name: next(columns)
            if isinstance(move, Number)
            else _array([next(columns) for _ in range(arrays[move.place].size)], arrays[move.place])
            for move in moves
        }
    return found


def _array(columns: list[np.ndarray], like: Array) -> np.ndarray:
    stacked = np.stack(columns, axis=-1)
    return stacked.reshape(*stacked.shape[:-1], *like.shape)


def _seen(figure: AskedFigure, ends: EndsMoved) -> Seen:
    """A figure of the arrays and of the end, as one program."""
    return jax.jit(lambda arrays, end: figure.see(ends.parts.make(arrays), *end))


def _moved(see: Seen, ends: EndsMoved, end: End, ways: Ways, change: End) -> np.ndarray:
    """dg along a direction and what it does to the end."""
    arrays = ends.parts.arrays
    return np.asarray(jax.jvp(see, (arrays, end), (filled(arrays, ways), change))[1])


def _backwards(
    seen: Mapping[str, Seen], moves: Sequence[Any], ends: EndsMoved, end: End
) -> dict[str, Any]:
    """By adjoints; where these fail (a stiff flow has too many explicit steps), forwards after
    all, if the entries are few."""
    try:
        return _pulled(seen, moves, ends, end)
    except Failure:
        if sum(ends.parts.arrays[move.place].size for move in moves) > ONE_BY_ONE:
            raise
        return _pushed(seen, moves, ends, end)


def _pulled(
    seen: Mapping[str, Seen], moves: Sequence[Any], ends: EndsMoved, end: End
) -> dict[str, Any]:
    """Backwards: an adjoint per component of a figure."""
    places = [move.place for move in moves]
    back = ends.pull(places)
    found: dict[str, Any] = {}
    for name, see in seen.items():
        value, pull = jax.vjp(see, ends.parts.arrays, end)
        rows = []
        for unit in jnp.asarray(np.eye(value.size).reshape(value.size, *value.shape)):
            direct, at_end = pull(unit)
            rows.append([direct[i] + more for i, more in zip(places, back(at_end), strict=True)])
        found[name] = {
            move.name: np.stack([np.asarray(row[k]) for row in rows]).reshape(
                *value.shape, *ends.parts.arrays[move.place].shape
            )
            for k, move in enumerate(moves)
        }
    return found


def _said(error: BaseException) -> str:
    """An error in a line."""
    return " ".join(str(error).split()).rstrip(".")
