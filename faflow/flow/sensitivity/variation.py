"""A rule with the derivative of its state beside it: the variational equation as a rule.

s' = v(s; p),  S' = (dv/ds) S + (dv/dp) dp,  S(t0) = ds(0) - v dt0.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import PyTree, Scalar
from ...feedback import Feedback
from ...networks import AbstractNetwork
from ...observables import AbstractObservable
from ...rules import AbstractLearningRule, Forecast
from ...rules.abstract import Laws, State, WeightsAndFeedback
from ...tasks import Data
from ..problem import FlowProblem

Observables = dict[str, AbstractObservable]


class Direction(eqx.Module):
    """Which way everything that a flow is made of moves; None: it stands still. `begin`: t0 and
    its move, None if it does not move. `at_saves`: the save times move, so that states are kept.
    `many`: these are many directions, along the first axis of every array."""

    rule: PyTree
    weights: PyTree
    feedback: PyTree
    data: PyTree
    observables: PyTree
    begin: tuple[Scalar, Scalar] | None = None
    at_saves: bool = eqx.field(static=True, default=False)
    many: bool = eqx.field(static=True, default=False)


class Variation(AbstractLearningRule):
    """The state (s, S) of a rule and its derivative in a direction; linear in the direction.

    `controlled`: steps are held to S as to s, else to s alone, so that they are those of the flow
    without S.
    """

    rule: AbstractLearningRule
    to: Direction
    controlled: bool = eqx.field(static=True, default=False)

    @property
    def equation(self) -> str:
        return f"{self.rule.equation}, and its variational equation"

    @property
    def source(self) -> str:
        return self.rule.source

    @property
    def form(self) -> Any:
        return self.rule.form

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        to = self.to
        state, change = along(
            lambda rule, *given: rule.init(*given),
            (self.rule, weights, feedback, data),
            (to.rule, to.weights, to.feedback, to.data),
            to.many,
        )
        if to.begin is not None:
            t0, move = to.begin
            velocity = self.rule.velocity(t0, state, feedback, data)
            change = jax.tree.map(lambda s, v: s - jnp.tensordot(move, v, 0), change, velocity)
        return state, change

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        to, (inner, change) = self.to, state
        return along(
            lambda rule, *given: rule.velocity(t, *given),
            (self.rule, inner, feedback, data),
            (to.rule, change, to.feedback, to.data),
            to.many,
        )

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return self.rule.read(state[0], feedback, data)

    def laws(self, weights: AbstractNetwork) -> Laws:
        return self.rule.laws(weights)

    def end(self, state: State, feedback: Feedback, data: Data) -> tuple[Any, Any]:
        """(weights, feedback) and their derivative."""
        to, (inner, change) = self.to, state
        return along(
            read_end,
            (self.rule, inner, feedback, data),
            (to.rule, change, to.feedback, to.data),
            to.many,
        )

    def seen(self, observables: Observables, state: State, feedback: Feedback, data: Data) -> Any:
        """The records and their derivative at a fixed time; the state where times move."""
        to, (inner, change) = self.to, state
        values, changes = along(
            seen,
            (self.rule, observables, inner, feedback, data),
            (to.rule, to.observables, change, to.feedback, to.data),
            to.many,
        )
        kept = {"state": inner} if to.at_saves else {}
        return {"values": values, "changes": changes} | kept


def seen(
    rule: AbstractLearningRule,
    observables: Observables,
    state: State,
    feedback: Feedback,
    data: Data,
) -> dict[str, Any]:
    """What is recorded of a rule's state."""
    if isinstance(rule, Variation):
        return rule.seen(observables, state, feedback, data)
    weights, back = rule.read(state, feedback, data)
    told = {name: see(weights, back, data) for name, see in observables.items()}
    return told | (rule.predicted(state) if isinstance(rule, Forecast) else {})


def read_end(rule: AbstractLearningRule, state: State, feedback: Feedback, data: Data) -> Any:
    """The weights and feedback of a rule's last state, with their derivatives if it has any."""
    if isinstance(rule, Variation):
        return rule.end(state, feedback, data)
    return rule.read(state, feedback, data)


def varied(rule: AbstractLearningRule) -> AbstractLearningRule:
    """The rule whose state, with which a state begins, tolerances follow: without derivatives and
    without what a rule predicts of its laws."""
    while isinstance(rule, Variation | Forecast):
        rule = rule.rule
    return rule


def held(rule: AbstractLearningRule, state: Any) -> Any:
    """The part of a state, at its beginning, that steps are held to."""
    while isinstance(rule, Variation) and not rule.controlled:
        rule, state = rule.rule, state[0]
    return state


def along(
    function: Callable[..., Any], values: PyTree, moves: PyTree, many: bool = False
) -> tuple[Any, Any]:
    """f(*values) and its derivative where values move by `moves`, None where they stand still; None
    for what has no derivative (whole numbers). `many`: moves and derivatives have a first axis."""
    leaves, structure = jax.tree.flatten(values, is_leaf=is_none)
    ways = structure.flatten_up_to(moves)
    moving = [i for i, way in enumerate(ways) if way is not None]

    def moved(parts: list[Any]) -> Any:
        now = list(leaves)
        for i, part in zip(moving, parts, strict=True):
            now[i] = part
        return function(*jax.tree.unflatten(structure, now))

    start, by = [jnp.asarray(leaves[i]) for i in moving], [ways[i] for i in moving]
    if many:
        value, push = jax.linearize(moved, start)
        change = jax.vmap(lambda by: _moving(push(by)))(by)
        return value, change
    value, change = jax.jvp(moved, (start,), (by,))
    return value, _moving(change)


def _moving(change: Any) -> Any:
    return jax.tree.map(lambda c: None if c.dtype == jax.dtypes.float0 else c, change)


def with_rule(problem: FlowProblem, rule: AbstractLearningRule) -> FlowProblem:
    """The problem under another rule of the same weights, which has been checked before."""
    return eqx.tree_at(lambda p: p.rule, problem, rule, is_leaf=lambda x: x is problem.rule)


def is_none(value: Any) -> bool:
    return value is None
