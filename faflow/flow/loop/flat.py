"""A problem as steppers see it: the rule's state as one vector."""

import itertools
from typing import Any

import diffrax
import equinox as eqx
import jax
from jax.flatten_util import ravel_pytree

from ..._types import Array, PyTree
from ...feedback import Feedback
from ...networks import AbstractNetwork, is_kinked
from ...rules import Forecast
from ...tasks import Data
from ..problem import FlowProblem


class FlatProblem(eqx.Module):
    """The field of the rule's state, raveled, and what such a vector stands for."""

    problem: FlowProblem

    def first(self) -> Array:
        """The state at the start."""
        return ravel_pytree(self.problem.rule.init(self.problem.weights, *self._given))[0]

    def read(self, state: Array) -> tuple[AbstractNetwork, Feedback]:
        """The weights and feedback of a state."""
        return self.problem.rule.read(self._rule_state(state), *self._given)

    def weights_of(self, state: Array) -> AbstractNetwork:
        return self.read(state)[0]

    @property
    def forecasting(self) -> bool:
        """Whether the rule predicts what its laws do."""
        return isinstance(self.problem.rule, Forecast)

    def forecasts(self, state: Array) -> dict[str, PyTree]:
        """What the rule predicts of its laws, as `<law>_forecast`, if it does."""
        rule = self.problem.rule
        if not isinstance(rule, Forecast):
            return {}
        return rule.predicted(self._rule_state(state))

    @property
    def term(self) -> diffrax.ODETerm:
        """The rule's field on its state as one vector."""

        def field(t: Any, state: Array, args: Any) -> Array:
            del args
            velocity = self.problem.rule.velocity(t, self._rule_state(state), *self._given)
            return ravel_pytree(velocity)[0]

        return diffrax.ODETerm(field)

    @property
    def kinked(self) -> bool:
        return is_kinked(self.problem.weights, self.problem.data.inputs)

    @property
    def _given(self) -> tuple[Feedback, Data]:
        return self.problem.feedback, self.problem.data

    def _rule_state(self, flat: Array) -> PyTree:
        start = jax.eval_shape(self.problem.rule.init, self.problem.weights, *self._given)
        shapes, structure = jax.tree.flatten(start)
        ends = list(itertools.accumulate(shape.size for shape in shapes))
        parts = [flat[end - shape.size : end] for shape, end in zip(shapes, ends, strict=True)]
        leaves = [part.reshape(shape.shape) for part, shape in zip(parts, shapes, strict=True)]
        return jax.tree.unflatten(structure, leaves)


def call_term(terms: Any, t: Any, y: Any, args: Any) -> Any:
    """The field as step-size controllers ask for it."""
    return terms.vf(t, y, args)
