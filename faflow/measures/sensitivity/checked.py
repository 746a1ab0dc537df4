"""Derivatives beside a central difference of whole flows, drawn anew and run to a tight tolerance.

    d g . u  against  (g(p + h u) - g(p - h u)) / 2h

u is random: each number in units of itself, each array of its own size. Two flows check all
directions at once; nothing in them knows of the derivative.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...config.resolve import Resolved
from ...flow import FlowProblem, Numerics, integrate
from ...sensitivity.kinks import LOG
from ...setup.problem import set_up
from .ends import End, EndsMoved
from .figures import AskedFigure
from .moves import Move, Number, pieces_of, with_number
from .slopes import FigureSlopes

H = 1e-4
TIGHT = 1e-12


class FlowsBeside(NamedTuple):
    """Two flows, p - h u and p + h u: problem and end; u by name."""

    flows: list[tuple[FlowProblem, End]]
    directions: dict[str, Any]


def flows_beside(resolved: Resolved, moves: Sequence[Move], ends: EndsMoved) -> FlowsBeside:
    """Raises ValueError or FlowError where one of them ends early."""
    rng = np.random.default_rng(resolved.config.seed)
    directions = {move.name: _direction(rng, move, ends) for move in moves}
    flows = []
    for s in (-H, H):
        there = resolved
        for move in moves:
            if isinstance(move, Number):
                value = move.value + s * directions[move.name]
                there = with_number(there, move.name, value)
        setup = set_up(there, trusted=True)
        parts = pieces_of(setup.problem)
        for move in moves:
            if not isinstance(move, Number):
                parts.arrays[move.place] += s * directions[move.name]
        problem = parts.make(parts.arrays)
        moved = setup.ts[-1] - resolved.flow.t1
        ts = ends.ts.at[-1].add(moved)
        found = integrate(problem, ts, {}, tight(ends.numerics))
        flows.append((problem, (found.weights, found.feedback)))
    return FlowsBeside(flows, directions)


def tight(numerics: Numerics) -> Numerics:
    """The numerics of flows that others are compared with: dopri8 in place of explicit methods, to
    1e-12; fixed steps and implicit methods as they are."""
    if numerics.step is not None:
        return numerics
    solver = numerics.build_solver()
    swapped = isinstance(solver, diffrax.AbstractERK) and numerics.solver != "auto"
    return replace(
        numerics,
        solver="dopri8" if swapped else numerics.solver,
        rtol=jnp.minimum(numerics.rtol, TIGHT),
        atol=jnp.minimum(numerics.atol, TIGHT / 100),
        tail=False,
        exact=replace(numerics.exact, events=LOG),
    )


def apart(figure: AskedFigure, slopes: FigureSlopes, beside: FlowsBeside) -> float:
    """|difference - derivative| over the sum of the directions' shares; nan where one has none."""
    again = figure.again or eqx.filter_jit(figure.see)
    low, high = (np.asarray(again(problem, *end)) for problem, end in beside.flows)
    difference, directions = (high - low) / (2 * H), beside.directions
    if set(slopes.to) != set(directions):
        return float("nan")
    shares = [_along(slopes.to[name], slopes.value.ndim, way) for name, way in directions.items()]
    size = max(np.linalg.norm(difference), sum(map(np.linalg.norm, shares)))
    off = np.linalg.norm(difference - sum(shares))
    return float(off / size) if size > 0 else 0.0


def _along(slope: np.ndarray, rank: int, way: Any) -> np.ndarray:
    """A derivative along u: of a figure of `rank` axes."""
    axes = slope.ndim - rank
    return np.asarray(np.tensordot(slope, np.asarray(way), axes) if axes else slope * way)


def _direction(rng: np.random.Generator, move: Move, ends: EndsMoved) -> Any:
    if isinstance(move, Number):
        return (abs(move.value) or 1.0) * rng.choice([-1.0, 1.0])
    array = np.asarray(ends.parts.arrays[move.place])
    size = float(np.sqrt(np.mean(array**2))) or 1.0
    return size * rng.normal(size=array.shape)
