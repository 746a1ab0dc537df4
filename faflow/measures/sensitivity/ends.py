"""How the end of a flow moves with what it is made of: forwards, backwards, across kinks.

Forwards by the variational equation, held to its own tolerance, one flow for every direction;
backwards by one adjoint for every figure, whatever the number of entries.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array
from ...feedback import Feedback
from ...flow import FlowProblem, Numerics, Stops, integrate
from ...flow.sensitivity.explicit import explicit
from ...networks import AbstractNetwork
from ...sensitivity import across_kinks
from .moves import Pieces, Ways, filled

End = tuple[AbstractNetwork, Feedback]


class EndsMoved(NamedTuple):
    """The flow of `parts` over `ts`, all of which it reaches."""

    problem: FlowProblem
    parts: Pieces
    ts: Array
    numerics: Numerics

    @property
    def goes_back(self) -> bool:
        """Whether there is an adjoint along its steps."""
        named = self.numerics.solver == "auto"
        return named or explicit(self.numerics.build_solver()) is not None

    def push(self, ways: Sequence[Ways], ends: Sequence[float]) -> list[End]:
        """The moves of (weights, feedback) for directions of the arrays and of t1. Raises
        ValueError or FlowError where there are none."""
        arrays = self.parts.arrays
        moving = [i for i in range(len(arrays)) if any(way[i] is not None for way in ways)]
        pairs = zip(ways, ends, strict=True)
        return [self._along(_shared(arrays, way, moving), end) for way, end in pairs]

    def pull(self, places: Sequence[int]) -> Callable[[End], list[Array]]:
        """From dL/d(weights, feedback) to dL/d(the arrays at `places`)."""
        adjoint = "checkpointed" if self.goes_back else "backsolve"
        numerics = replace(self.numerics, adjoint=adjoint)

        def ended(some: list[Array]) -> End:
            given: list[Any] = list(self.parts.arrays)
            for place, array in zip(places, some, strict=True):
                given[place] = array
            found = integrate(self.parts.make(given), self.ts, {}, numerics)
            return found.weights, found.feedback

        _, back = jax.vjp(ended, [self.parts.arrays[i] for i in places])
        return lambda cotangent: back(cotangent)[0]

    def _along(self, ways: Ways, end: float) -> End:
        arrays = self.parts.arrays
        if self.numerics.kinks == "exact":
            return self._across(ways)
        still = [None if way is not None else a for a, way in zip(arrays, ways, strict=True)]
        moving = [None if way is None else a for a, way in zip(arrays, ways, strict=True)]
        numerics = replace(self.numerics, sensitivities="controlled")

        def ended(moving: Any, last: Any) -> End:
            given = [a if a is not None else b for a, b in zip(moving, still, strict=True)]
            ts = self.ts if last is None else self.ts.at[-1].set(last)
            found = integrate(self.parts.make(given), ts, {}, numerics)
            return found.weights, found.feedback

        last = self.ts[-1] if end else None
        speed = jnp.asarray(end) if end else None
        _, moved = eqx.filter_jvp(ended, (moving, last), (ways, speed))
        return moved

    def _across(self, ways: Ways) -> End:
        arrays = self.parts.arrays
        way = filled(arrays, ways)
        found = across_kinks(self.parts.make, arrays, way, self.ts, self.numerics)
        return found.change, self.parts.make(way).feedback


def ends_moved(problem: FlowProblem, parts: Pieces, ts: Array, numerics: Numerics) -> EndsMoved:
    """Without stops: the time at which one came is held fast."""
    return EndsMoved(problem, parts, ts, replace(numerics, stops=Stops()))


def _shared(arrays: Sequence[Array], ways: Ways, moving: Sequence[int]) -> Ways:
    """A direction with zeros where others move, so that all share a program."""
    return [
        jnp.zeros_like(array) if i in moving and way is None else way
        for i, (array, way) in enumerate(zip(arrays, ways, strict=True))
    ]
