"""A flow as functions of what it is differentiated by, and what each pulls back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax

from ..._types import Array, Integer, PyTree, Scalar
from ..flow import Flow
from ..loop.flat import FlatProblem
from .variation import is_none


class Pulled(NamedTuple):
    """lambda = dL/d(state), and dL/d(values)."""

    adjoint: Array
    slopes: list[Array]


class Stretch(NamedTuple):
    """From one save to the next: their times (2,) and states (2, n), the number of the first step
    and that of the first one after, and when all of the flow's steps end."""

    times: Array
    states: Array
    between: tuple[Integer, Integer]
    ends: Array


class Parts(eqx.Module):
    """`values`: the leaves of the flow that are differentiated, at `places` among all."""

    flow: Flow
    values: list[Array]
    places: tuple[int, ...] = eqx.field(static=True)

    def with_values(self, values: list[Array]) -> Flow:
        """The flow with these in their places."""
        leaves, structure = jax.tree.flatten(self.flow)
        for i, value in zip(self.places, values, strict=True):
            leaves[i] = value
        return jax.tree.unflatten(structure, leaves)

    def start(self, values: list[Array]) -> Array:
        return self._flat(values).first()

    def field(self, t: Scalar, state: Array, values: list[Array]) -> Array:
        return self._flat(values).term.vf(t, state, None)

    def seen(self, state: Array, values: list[Array]) -> Any:
        flow = self.with_values(values)
        return FlatProblem(flow.problem).seen(flow.observables, state)

    def end(self, state: Array, values: list[Array]) -> Any:
        return self._flat(values).read_end(state)

    def _flat(self, values: list[Array]) -> FlatProblem:
        return FlatProblem(self.with_values(values).problem)

    def pull(self, function: Callable[..., Any], state: Array, given: PyTree) -> Pulled:
        """What function(state, values) adds to dL/d(state) and dL/d(values); `given`: dL/d(what it
        returns), None for zero."""
        ways, structure = jax.tree.flatten(given, is_leaf=is_none)
        asked = [i for i, way in enumerate(ways) if way is not None]

        def some(state: Array, values: list[Array]) -> list[Array]:
            leaves = structure.flatten_up_to(function(state, values))
            return [leaves[i] for i in asked]

        _, pull = jax.vjp(some, state, self.values)
        return Pulled(*pull([ways[i] for i in asked]))
