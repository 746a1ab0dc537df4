"""All the fields a learning rule can have: one for every data set and loss."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._types import Array, Inputs, Outputs
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..networks.mlp import widths
from ..rules import (
    AbstractLayerwiseRule,
    AbstractLearningRule,
    AbstractWeightRule,
    GivenError,
    Momentum,
    State,
    jumps,
)
from ..tasks import AbstractLoss, Data, Squared
from .abstract import AbstractFields


class Lesson(NamedTuple):
    """Something to learn: `inputs` (samples, n_0), `targets` (samples, n_L), which of the two
    losses, the linear one if `linear`, and when, for fields that depend on the time."""

    inputs: Inputs
    targets: Outputs
    linear: Array
    time: Array


class Fields(AbstractFields):
    """d state/dt as a function of the flat state and of a lesson.

    A law of a rule, whatever is learned, is a function that none of these fields changes. Errors
    that depend on the outputs are combinations, with coefficients that depend on the state, of
    constant ones, and so is what they carry one another to: the linear loss stands for all. Rules
    that are not layerwise may hear more than the error; they are taught the squared loss as well.

    Lessons have one sample; for rules that are not layerwise enough for every layer to have full
    rank. ValueError if the rule takes neither loss.

    `counted`: the entries of the flat state that weights and feedback are read from, or that move
    (a momentum's). Others are a rule's own notes (a copy of the first weights); they are not
    counted, and a random state has them as the network's weights have made them.
    """

    rule: AbstractLearningRule
    weights: AbstractNetwork
    feedback: Feedback
    losses: tuple[AbstractLoss, ...] = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    structure: Any = eqx.field(static=True)  # of the rule's state
    leaves: tuple[tuple[tuple[int, ...], str], ...] = eqx.field(static=True)  # shapes, types
    counted: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, rule: AbstractLearningRule, weights: AbstractNetwork, feedback: Feedback
    ) -> None:
        self.rule, self.weights, self.feedback = rule, weights, feedback
        layerwise = isinstance(rule, AbstractLayerwiseRule)
        self.samples = 1 if layerwise else 2 * max(widths(weights))
        self.losses = _served(self, (GivenError(),) if layerwise else (GivenError(), Squared()))
        leaves, self.structure = jax.tree.flatten(_state(self, self.losses[0]))
        self.leaves = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        self.counted = _counted(self)

    @property
    def kinked(self) -> bool:
        return self.weights.activation.kinked or jumps(self.rule)

    @property
    def speeds(self) -> tuple[int, ...]:
        if not isinstance(self.rule, Momentum):
            return ()
        size = self.start().size
        return tuple(range(size // 2, size))  # (weights, their speeds)

    def data(self, lesson: Lesson, loss: AbstractLoss) -> Data:
        return Data(lesson.inputs, lesson.targets, loss, jnp.ones((), lesson.inputs.dtype))

    def lessons(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Lesson:
        """Gaussian inputs and targets, losses in turn, times in [0, 1)."""
        return Lesson(*jax.device_put(self._drawn(rng, shape)))

    def _drawn(self, rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
        first, *_, last = widths(self.weights)
        inputs = rng.standard_normal((*shape, self.samples, first))
        targets = rng.standard_normal((*shape, self.samples, last))
        linear = np.broadcast_to(np.arange(shape[-1]) % 2 == 0, shape)
        times = rng.random(shape)
        return [inputs, targets, linear, times]

    def one_lesson(self) -> Lesson:
        drawn = self._drawn(np.random.default_rng(0), (1,))
        return Lesson(*jax.device_put([array[0] for array in drawn]))

    def shape(self) -> Any:
        """The rule's state as a pytree of shapes."""
        leaves = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in self.leaves]
        return self.structure.unflatten(leaves)

    def random_states(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, D) generic states: entries gaussian, matrices scaled by their row length."""
        parts = [
            rng.standard_normal((count, leaf.size))
            / (leaf.shape[-1] ** 0.5 if leaf.ndim > 1 else 1.0)
            for leaf in jax.tree.leaves(self.shape())
        ]
        drawn = np.concatenate(parts, axis=1)
        if drawn.shape[1] == len(self.counted):
            return drawn
        states = np.tile(np.asarray(self.start()), (count, 1))
        states[:, self.counted] = drawn[:, self.counted]
        return states

    def start(self) -> Array:
        """The flat state of the network's weights."""
        data = self.data(self.one_lesson(), self.losses[0])
        leaves = jax.tree.leaves(self.rule.init(self.weights, self.feedback, data))
        return jax.device_put(np.concatenate([np.ravel(leaf) for leaf in leaves]))

    def unravel(self, flat: Array) -> State:
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.shape())
        return ravel_pytree(empty)[1](flat)

    def read(self, flat: Array, data: Data) -> tuple[AbstractNetwork, Feedback]:
        return self.rule.read(self.unravel(flat), self.feedback, data)

    def __call__(self, flat: Array, lesson: Lesson) -> Array:
        """d state/dt (state,), flat."""
        state, t = self.unravel(flat), lesson.time
        moves = [
            ravel_pytree(self.rule.velocity(t, state, self.feedback, self.data(lesson, loss)))[0]
            for loss in self.losses
        ]
        return moves[0] if len(moves) == 1 else jnp.where(lesson.linear, *moves)


def _counted(fields: Fields) -> tuple[int, ...]:
    """The entries of a state that change what is read from it, or that move."""
    start = fields.start()
    if isinstance(fields.rule, AbstractWeightRule):
        return tuple(range(start.size))
    data = fields.data(fields.one_lesson(), fields.losses[-1])
    read = jax.jacobian(lambda flat: ravel_pytree(fields.read(flat, data))[0])
    told = np.any(np.asarray(jax.jit(read)(start)) != 0, axis=0)
    told |= np.asarray(jax.jit(fields.__call__)(start, fields.one_lesson())) != 0
    return tuple(np.flatnonzero(told).tolist())


def _served(fields: Fields, losses: tuple[AbstractLoss, ...]) -> tuple[AbstractLoss, ...]:
    served, reason = [], None
    for loss in losses:
        try:
            _state(fields, loss)
            served.append(loss)
        except ValueError as error:
            reason = error
    if not served:
        raise ValueError(str(reason))
    return tuple(served)


def _state(fields: Fields, loss: AbstractLoss) -> Any:
    """The rule's state, with shapes and types for arrays."""
    data = fields.data(fields.one_lesson(), loss)
    return jax.eval_shape(fields.rule.init, fields.weights, fields.feedback, data)
