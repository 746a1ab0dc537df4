"""The measure: what is asked, computed beside the flow, said, warned of and stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..._results import Outcome
from ...config.errors import ConfigError
from ...config.resolve import Resolved
from ...flow import FlowSolution
from ..measure import Experiment, Flown, Measure, Note, Row, Section
from ..tables import number
from ..variables.groups import Group, Variable
from .checked import apart, flows_beside
from .ends import ends_moved
from .figures import AskedFigure, asked_figures, check_figures
from .moves import Move, Number, check_moves, moves_of, pieces_of
from .slopes import ONE_BY_ONE, Failure, FigureSlopes, figure_slopes

NAME = "sensitivity"
ALL = "all"  # there is no derivative by anything
AGREE = 1e-4  # a derivative that is farther than this from the central difference is worth a word


class Derivatives(NamedTuple):
    """At time `t`: derivatives by figure, how far a central difference is from them, and why there
    is none of a figure; in the `order` that was asked for."""

    t: float
    slopes: dict[str, FigureSlopes]
    apart: dict[str, float]
    none: dict[str, str]
    order: tuple[str, ...]


def check_sensitivity(resolved: Resolved, experiment: Experiment) -> str:
    """ConfigError for derivatives that there can't be."""
    section = resolved.config.sensitivity
    if section is None:
        return ""
    if resolved.config.precision != "float64":
        raise ConfigError(NAME, "needs precision = 'float64'; remove it or change that")
    if resolved.flow.devices > 1:
        raise ConfigError(NAME, "needs a flow on one device; set flow.devices to 1")
    if resolved.method == "plain":
        what = "is 'plain' here: steps over kinks have no derivative, since it jumps there"
        raise ConfigError("flow.kinks", f"{what}; use 'exact' or 'smooth'")
    check_figures(resolved, experiment.problem)
    exact = resolved.method == "exact"
    for index, (name, entries) in enumerate(check_moves(resolved, experiment)):
        where = f"{NAME}.to.{index}"
        if exact and entries > ONE_BY_ONE:
            what = f"is '{name}', whose {entries} entries flows across kinks take one by one"
            raise ConfigError(where, f"{what}; {ONE_BY_ONE} at most, or flow.kinks = 'smooth'")
        if exact and name == "flow.t1":
            what = "is 'flow.t1', which flows across kinks hold fast; remove it"
            raise ConfigError(where, what)
    return ""


def differentiate(
    resolved: Resolved, experiment: Experiment, solution: FlowSolution, note: Note
) -> Derivatives | None:
    """All derivatives that are asked for, and a central difference beside them."""
    section = resolved.config.sensitivity
    if section is None:
        return None
    t, outcome = float(solution.t_final), Outcome(int(solution.outcome))
    if outcome.early:
        why = f"the flow ended early: it {outcome.message}"
        return Derivatives(t, {}, {}, dict.fromkeys(section.of, why), section.of)
    note("differentiating the flow")
    problem, end = experiment.problem, (solution.weights, solution.feedback)
    moves, still = _moving(moves_of(resolved, experiment), t, float(experiment.ts[-1]))
    ts = jnp.asarray(np.asarray(solution.ts)[np.asarray(solution.reached)])
    ends = ends_moved(problem, pieces_of(problem), ts, experiment.numerics)
    asked = asked_figures(resolved, problem, *end)
    figures = [one for one in asked if isinstance(one, AskedFigure)]
    none = dict(one for one in asked if not isinstance(one, AskedFigure))
    order = tuple(one.name if isinstance(one, AskedFigure) else one[0] for one in asked)
    slopes = {
        name: one._replace(why=one.why | still)
        for name, one in figure_slopes(figures, moves, ends, end).items()
    }
    found: dict[str, float] = {}
    if section.check and any(one.to for one in slopes.values()):
        note("comparing the derivatives with a central difference")
        try:
            beside = flows_beside(resolved, moves, ends)
            found = {f.name: apart(f, slopes[f.name], beside) for f in figures}
        except Failure:
            found = dict.fromkeys(slopes, float("nan"))
    return Derivatives(t, slopes, found, none, order)


def _moving(moves: list[Move], t: float, t1: float) -> tuple[list[Move], dict[str, str]]:
    """Without t1 where the flow stopped before it, and why."""
    still = [m.name for m in moves if isinstance(m, Number) and m.end and t < t1]
    why = f"the flow stopped at t = {number(t)}, whatever t1 is"
    return [m for m in moves if m.name not in still], dict.fromkeys(still, why)


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """By figure: its `value`; `by` the "flow" to `t` or its "limit" (`instead`: why not by that);
    `to`: derivatives by name, of arrays (`norms`) their norms; `apart`: relative distance from a
    central difference in a random direction; `none`: why there is no derivative, by name."""
    del summary
    found: Derivatives | None = flown.beside[NAME]
    if found is None:
        return None
    section: Section = {}
    for name in found.order:
        if name in found.none:
            section[name] = {"none": {ALL: found.none[name]}}
            continue
        one = found.slopes[name]
        section[name] = {
            "value": _shown(one.value, 0),
            "by": one.by,
            "t": found.t,
            "to": {to: _shown(slope, slope.ndim - one.value.ndim) for to, slope in one.to.items()},
            "norms": ", ".join(to for to, slope in one.to.items() if _is_norm(slope, one.value)),
            **({"apart": found.apart[name]} if name in found.apart else {}),
            **({"instead": one.instead} if one.instead else {}),
            **({"none": _together(one.why, one.to)} if one.why else {}),
        }
    return section


def _together(why: Mapping[str, str], to: Mapping[str, Any]) -> dict[str, str]:
    """Reasons by name, or the one that there is for all."""
    same = not to and len(set(why.values())) == 1
    return {ALL: next(iter(why.values()))} if same else dict(why)


def _shown(values: np.ndarray, by: int) -> Any:
    """Numbers, or the norms of arrays: of a matrix, or of derivatives by arrays of `by` axes."""
    rank = values.ndim - by
    if rank > 1:
        return float(np.linalg.norm(values))
    return values.tolist() if not by else np.linalg.norm(_rows_of(values, rank), axis=-1).tolist()


def _is_norm(slope: np.ndarray, value: np.ndarray) -> bool:
    return slope.ndim > value.ndim or value.ndim > 1


def _rows_of(values: np.ndarray, rank: int) -> np.ndarray:
    return values.reshape(*values.shape[:rank], -1)


def _rows(section: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Row]:
    del summary
    found = []
    for name, told in section.items():
        for to in told.get("to", {}):
            found.append((f"d {name} / d {to}", slope_words(told, to)))
        for to, why in told.get("none", {}).items():
            found.append((f"d {name}" + ("" if to == ALL else f" / d {to}"), f"none: {why}"))
        if told.get("to"):
            found.append((f"d {name}", _how(told)))
    return found


def slope_words(told: Mapping[str, Any], to: str) -> str:
    """A figure's derivative by `to`, as it is or as a norm."""
    return ("norm " if to in told["norms"].split(", ") else "") + number(told["to"][to])


def _how(told: Mapping[str, Any]) -> str:
    by = "of the limit, by the laws" if told["by"] == "limit" else f"at t = {number(told['t'])}"
    text = f"of {number(told['value'])}, {by}"
    if "instead" in told:
        text += f" (not of the limit: {told['instead']})"
    if "apart" in told:
        off = told["apart"]
        found = "not compared" if off is None else f"{number(off)} apart"
        text += f"; a central difference is {found}"
    return text


def _warnings(flown: Flown, section: Mapping[str, Any]) -> list[str]:
    del flown
    found = []
    for name, told in section.items():
        off = told.get("apart", 0.0)
        if off is not None and off > AGREE:
            what = f"the derivatives of {name} and a central difference are {100 * off:.2g} % apart"
            found.append(f"{what}; lower flow.rtol, or trust neither")
        for to, why in told.get("none", {}).items():
            what = f"{name}" + ("" if to == ALL else f" with respect to {to}")
            found.append(f"no derivative of {what}: {why}")
    return found


def _groups(flown: Flown) -> dict[str, Group]:
    """The derivatives by whole arrays, as `figure.array`."""
    found: Derivatives | None = flown.beside[NAME]
    variables = {}
    for name, one in ({} if found is None else found.slopes).items():
        for to, slope in one.to.items():
            if slope.ndim == one.value.ndim:
                continue
            parts = [f"part_of_{name}_{i}" for i in range(one.value.ndim)]
            axes = [f"{to}_{i}" for i in range(slope.ndim - one.value.ndim)]
            attrs = {"long_name": f"d {name} / d {to}", "units": "1"}
            variables[f"{name}.{to}"] = Variable((*parts, *axes), slope, attrs)
    return {NAME: Group(variables, {})} if variables else {}


SENSITIVITY = Measure(
    NAME,
    _section,
    _rows,
    _warnings,
    check=check_sensitivity,
    beside=differentiate,
    groups=_groups,
    errors=("apart",),
)
