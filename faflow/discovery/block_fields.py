"""The fields of a block of a model's leaves: all that is outside is drawn anew for every lesson.

A function Q of the block T alone is a law if <grad_T Q, v_T(W_T, W_rest)> = 0 whatever stands
outside. So the weights outside are a part of what is learned from, like data and errors, and the
laws are those of the fields v_T on T (Marcotte, Gribonval & Peyre 2025, Prop. 4.3).
"""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..feedback import Feedback
from ..networks import Model, is_kinked
from ..networks.model import is_named
from ..networks.substitution import path_name
from ..rules import (
    AbstractChainRule,
    AbstractLearningRule,
    GivenError,
    State,
    check_model,
    jumps,
    unmodified,
)
from ..rules.moving_feedback import AbstractMovingFeedbackRule
from ..tasks import Data
from .abstract import AbstractFields

Losses = Literal["all", "cross-entropy"]
SEVERAL = 4  # samples for rules whose field is no sum over them


class BlockLesson(NamedTuple):
    """Inputs (samples, ...), errors (samples, outputs), the leaves outside (flat), the time."""

    inputs: Array
    errors: Array
    others: Array
    time: Array


class BlockLeaf(NamedTuple):
    """A leaf of the state: its name (a weight's path; F(path) of feedback that moves; path' of what
    moves besides, a momentum's speed), the path it belongs to, its shape."""

    name: str
    path: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))


class BlockFields(AbstractFields):
    """d W_T/dt as a function of W_T, flat, and of a `BlockLesson`.

    `block`: globs over the paths of leaves, as `Model`'s `frozen`. Feedback and moving state of a
    leaf belong to it. `sample`: the shape of one input. `losses`: "all" (errors are free) or
    "cross-entropy" (errors sum to zero over outputs). Fixed feedback stays what it is.

    ValueError in one line if a glob names nothing, or the rule does not serve the model.
    """

    rule: AbstractLearningRule
    model: Model
    feedback: Feedback
    leaves: tuple[BlockLeaf, ...] = eqx.field(static=True)
    others: tuple[BlockLeaf, ...] = eqx.field(static=True)
    places: tuple[int, ...] = eqx.field(static=True)  # in the state: the block's, the others'
    sample: tuple[int, ...] = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    losses: Losses = eqx.field(static=True)
    counted: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        rule: AbstractLearningRule,
        model: Model,
        feedback: Feedback,
        sample: Sequence[int],
        block: Sequence[str] = ("*",),
        losses: Losses = "all",
    ):
        self.rule, self.model, self.feedback = rule, model, feedback
        self.sample, self.losses = tuple(sample), losses
        inner = unmodified(rule)
        summed = isinstance(inner, AbstractChainRule | AbstractMovingFeedbackRule)
        self.samples = 1 if summed else SEVERAL
        self.outputs = _outputs(model, self.sample)
        check_model(rule, model, feedback, self.data(_zero_lesson(self, 2)))
        state = rule.init(model, feedback, self.data(_zero_lesson(self, self.samples)))
        leaves = _named(state, model, self.sample)
        moving = _moving(self, state, leaves)
        inside = _inside(model, leaves, block)
        chosen = [i for i in moving if leaves[i].path in inside]
        rest = [i for i in moving if leaves[i].path not in inside]
        self.leaves = tuple(leaves[i] for i in chosen)
        self.others = tuple(leaves[i] for i in rest)
        self.places = (*chosen, *rest)
        self.counted = tuple(range(sum(leaf.size for leaf in self.leaves)))

    @property
    def kinked(self) -> bool:
        two = jax.ShapeDtypeStruct((2, *self.sample), jnp.result_type(float))
        return is_kinked(self.model, two) or jumps(self.rule)

    @property
    def speeds(self) -> tuple[int, ...]:
        ends = np.cumsum([leaf.size for leaf in self.leaves])
        moving = zip(ends, self.leaves, strict=True)
        spans = [range(end - leaf.size, end) for end, leaf in moving if leaf.name.endswith("'")]
        return tuple(int(entry) for span in spans for entry in span)

    def random_states(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, D) generic states: entries gaussian, scaled by the size of a unit's row."""
        return _drawn(rng, (count,), self.leaves)

    def lessons(self, rng: np.random.Generator, shape: tuple[int, ...]) -> BlockLesson:
        """Gaussian inputs, errors and weights outside; times in [0, 1)."""
        inputs = rng.standard_normal((*shape, self.samples, *self.sample))
        errors = rng.standard_normal((*shape, self.samples, self.outputs))
        if self.losses == "cross-entropy":
            errors = errors - errors.mean(axis=-1, keepdims=True)
        others = _drawn(rng, shape, self.others)
        return BlockLesson(*jax.device_put((inputs, errors, others, rng.random(shape))))

    def __call__(self, flat: Array, lesson: BlockLesson) -> Array:
        """d W_T/dt (D,), flat."""
        data, state = self.data(lesson), self.state(flat, lesson)
        moves = jax.tree.leaves(self.rule.velocity(lesson.time, state, self.feedback, data))
        return jnp.concatenate([jnp.ravel(moves[i]) for i in self.places[: len(self.leaves)]])

    def state(self, flat: Array, lesson: BlockLesson) -> State:
        """The rule's state with these leaves in the block, and the lesson's outside."""
        data = self.data(lesson)
        given, shape = jax.tree.flatten(self.rule.init(self.model, self.feedback, data))
        parts = [*_split(flat, self.leaves), *_split(lesson.others, self.others)]
        for place, part in zip(self.places, parts, strict=True):
            given[place] = part
        return jax.tree.unflatten(shape, given)

    def read(self, flat: Array, lesson: BlockLesson) -> Any:
        """The weights and feedback of that state."""
        data = self.data(lesson)
        return self.rule.read(self.state(flat, lesson), self.feedback, data)

    def data(self, lesson: BlockLesson) -> Data:
        one = jnp.ones((), lesson.inputs.dtype)
        return Data(lesson.inputs, lesson.errors, GivenError(), one)


def _outputs(model: Model, sample: tuple[int, ...]) -> int:
    found = jax.eval_shape(model, jax.ShapeDtypeStruct((2, *sample), jnp.result_type(float)))
    if getattr(found, "ndim", 0) != 2:
        raise ValueError(
            f"Model {type(model.module).__name__} must return a vector for a sample to be counted, "
            "but returns another shape; put it in a `Chain`, which makes it flat."
        )
    return found.shape[1]


def _zero_lesson(fields: BlockFields, samples: int) -> BlockLesson:
    zeros = np.zeros((samples, *fields.sample)), np.zeros((samples, fields.outputs)), np.zeros(0)
    return BlockLesson(*map(jnp.asarray, (*zeros, np.zeros(()))))


def _named(state: State, model: Model, sample: tuple[int, ...]) -> list[BlockLeaf]:
    """The state's leaves by name: the model's by their paths, a second copy with a dash, others as
    the feedback of what the backward pass meets."""
    found: list[BlockLeaf] = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        place = path_name(path)
        if (at := re.search(r"(?:^|\.)moving\.(.*)$", place)) is not None:
            own = at[1]
            copies = sum(other.path == own for other in found)
            found.append(BlockLeaf(own + "'" * copies, own, leaf.shape))
            continue
        two = jax.ShapeDtypeStruct((2, *sample), jnp.result_type(float))
        own = model.paths[model.program(two).met[int(place.split(".")[-1])]]
        found.append(BlockLeaf(f"F({own})", own, leaf.shape))
    return found


def _moving(fields: BlockFields, state: State, leaves: list[BlockLeaf]) -> list[int]:
    """All but what a rule only notes for itself (a copy of the first weights), which is given."""
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.standard_normal((16, *fields.sample)))
    errors = jnp.asarray(rng.standard_normal((16, fields.outputs)))
    data = fields.data(BlockLesson(inputs, errors, jnp.zeros(0), jnp.zeros(())))
    velocity = jax.jit(lambda s: fields.rule.velocity(jnp.zeros(()), s, fields.feedback, data))
    moves = jax.device_get(jax.tree.leaves(velocity(state)))
    pairs = enumerate(zip(leaves, moves, strict=True))
    return [i for i, (leaf, move) in pairs if leaf.name == leaf.path or np.any(move)]


def _inside(model: Model, leaves: list[BlockLeaf], block: Sequence[str]) -> set[str]:
    for glob in block:
        if not any(is_named(glob, path) for path in model.paths):
            raise ValueError(
                f"Argument `block` has '{glob}', which names no leaf that moves; they are "
                f"{', '.join(model.paths)}."
            )
    return {leaf.path for leaf in leaves if any(is_named(glob, leaf.path) for glob in block)}


def _drawn(
    rng: np.random.Generator, shape: tuple[int, ...], leaves: Sequence[BlockLeaf]
) -> np.ndarray:
    parts = [rng.standard_normal((*shape, leaf.size)) / _row(leaf.shape) ** 0.5 for leaf in leaves]
    return np.concatenate([np.zeros((*shape, 0)), *parts], axis=-1)


def _row(shape: tuple[int, ...]) -> int:
    """Entries of a unit's row: all but the first axis; 1 of a vector, also one of trailing ones."""
    return max(int(np.prod(shape[1:], dtype=int)), 1)


def _split(flat: Any, leaves: Sequence[BlockLeaf]) -> list[Any]:
    """The leaves of a flat vector, or of rows of them."""
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = jnp.split(flat, [int(end) for end in ends], axis=-1) if len(leaves) else []
    return [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
