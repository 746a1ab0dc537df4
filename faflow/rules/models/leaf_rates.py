"""How fast quantities of leaves change under a rule at random states: it tells the rule's laws."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._compiling import ONCE, compiled, program
from ..._generator import seeded
from ..._types import Array, Integer, Scalar
from ...feedback import Feedback
from ...networks import Model
from ...observables import (
    AbstractPotential,
    LeafBalance,
    Share,
    View,
    WeightPotential,
    share_entries,
)
from ...tasks import Data
from ..abstract import AbstractLearningRule, weight_velocity
from ..kernel import GivenError

SPARE = 16  # states beyond those that would tell all quantities apart
FRESH = 3  # states more, that what was found has to hold at
SAMPLES = 2  # of a random state
SEED = 20_251_130

Group = tuple[Share, ...]  # quantities with equally many rows


class Learner(NamedTuple):
    """A model under a rule. `zero_sum`: errors sum to 0; `decay`, 1 / time: of what is sought."""

    rule: AbstractLearningRule
    model: Model
    feedback: Feedback
    data: Data
    zero_sum: bool
    decay: Scalar


def leaves_of(model: Model) -> list[Array]:
    return jax.tree.leaves(model)


def row_count(model: Model, share: Share) -> int:
    view = share.view
    if view.axis is None:
        return 1
    size = leaves_of(model)[view.leaf].shape[view.axis]
    return view.inner if view.minor else size // view.inner


def share_groups(
    model: Model, feedback: Feedback, potential: AbstractPotential, data: Data
) -> tuple[Group, ...]:
    """Quantities that may balance one another: those of every number of rows, and last all leaves
    as wholes. psi stands before the squares, so that every balance is told by its psi."""
    leaves = leaves_of(model)
    backs = _backs(model, feedback, potential, data)
    squares = [(index, None) for index in range(len(leaves))]
    # The axis that a read-out has flattened is one of a leaf that stands above: one with a psi.
    above = backs or squares
    lengths = {size for leaf in leaves for size in leaf.shape if size > 1}
    found: dict[int, list[Share]] = defaultdict(list)
    for index, back in [*backs, *squares]:
        for axis, size in enumerate(leaves[index].shape):
            if size > 1:
                found[size].append(Share(1.0, View(index, axis), back))
        if (index, back) not in above:
            continue
        for axis, size in enumerate(leaves[index].shape):
            for rows in sorted(lengths):
                inner, rest = divmod(size, rows)
                if rest or inner == 1:
                    continue
                found[rows].append(Share(1.0, View(index, axis, inner), back))
                found[rows].append(Share(1.0, View(index, axis, rows, True), back))
    wholes = [Share(1.0, View(index), back) for index, back in backs]
    wholes += [Share(1.0, View(index)) for index, _ in squares]
    by_rows = (tuple(_psi_first(group)) for group in found.values() if len(group) > 1)
    return (*by_rows, tuple(wholes))


def _psi_first(group: Sequence[Share]) -> list[Share]:
    return sorted(group, key=lambda share: share.feedback is None)


def _backs(
    model: Model, feedback: Feedback, potential: AbstractPotential, data: Data
) -> list[tuple[int, int]]:
    """Leaves that have a psi of their own, each with its feedback (-1: psi needs none)."""
    if isinstance(potential, WeightPotential):
        return []  # psi is the square itself
    met = model.program(data.inputs[:SAMPLES]).met
    if feedback.form == "none":
        return [(leaf, -1) for leaf in met]
    if feedback.form == "layerwise":
        return [(leaf, place) for place, leaf in enumerate(met)]
    sizes = [(i, leaf.size, leaf.shape[:1]) for i, leaf in enumerate(leaves_of(model))]
    return [
        (i, place)
        for place, matrix in enumerate(feedback.matrices)
        for i, size, first in sizes
        if (size, first) == (matrix.size, matrix.shape[:1]) and i in met
    ]


class Moved(NamedTuple):
    """A random state on its way: leaves and feedback, how both move, and how fast quantities add
    up, entry by entry, `decay` times themselves with it. Numpy arrays once it is computed."""

    leaves: list[Array]
    feedback: Feedback
    velocity: list[Array]
    change: Feedback
    rates: list[Array]


At = Callable[[int], Moved]  # the random state of that number


def quantity_leaves(groups: Sequence[Group]) -> tuple[tuple[int, int | None], ...]:
    """(leaf, feedback) of all that `groups` add up; shares that see the same have one."""
    return tuple(dict.fromkeys((s.view.leaf, s.feedback) for group in groups for s in group))


def random_states(learner: Learner, potential: AbstractPotential, groups: tuple[Group, ...]) -> At:
    """Leaves and feedback near those given, moving on random data with free errors: one program,
    and of one state only, since a model may be large."""
    given = learner, potential, quantity_leaves(groups)
    moved = program(_moved, ONCE).ready(*given, np.asarray(0))
    return lambda number: jax.device_get(moved(*given, np.asarray(number)))


def _moved(
    learner: Learner,
    potential: AbstractPotential,
    quantities: tuple[tuple[int, int | None], ...],
    number: Integer,
) -> Moved:
    rule, model, feedback, data, zero_sum, decay = learner
    keys = jax.random.split(jax.random.fold_in(seeded(SEED), number))
    network, some = random_model(keys[0], model), random_lesson(keys[1], data, zero_sum)
    moves: Any = weight_velocity(rule, network, feedback, some)
    leaves, velocity, change = leaves_of(network), leaves_of(moves[0]), moves[1]

    def entries(leaves: list[Array], back: Feedback) -> list[Array]:
        return [
            share_entries(potential, leaves, back, Share(1.0, View(leaf), of)).reshape(
                leaves[leaf].shape
            )
            for leaf, of in quantities
        ]

    both = jax.jvp(entries, (leaves, feedback), (velocity, change))
    return Moved(leaves, feedback, velocity, change, _with_decay(decay, *both))


def share_rates(
    at: At, groups: tuple[Group, ...], sums: tuple[tuple[int, int], ...], decay: float, states: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of all groups (states, 2, rows, quantities each), and of sums over axes (states, 2, entries),
    at random states: how fast they change, and `decay` times themselves (half of it for sums); then
    the same with every term positive."""
    order = quantity_leaves(groups)

    def one(number: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        state = at(number)
        rates = _with_size(state.rates)

        def summed(share: Share) -> np.ndarray:
            both = rates[order.index((share.view.leaf, share.feedback))]
            return np.stack([row_sums(share.view, each) for each in both])

        balances = [np.stack([summed(share) for share in group], -1) for group in groups]
        leaves = _with_size(_with_decay(decay / 2, state.leaves, state.velocity))
        return balances, [np.sum(leaves[leaf], axis + 1).reshape(2, -1) for leaf, axis in sums]

    return jax.tree.map(lambda *each: np.stack(each), *map(one, range(states)))


def row_sums(view: View, array: np.ndarray) -> np.ndarray:
    """The sum of every row of `View.rows` (rows,)."""
    if view.axis is None:
        return np.sum(array).reshape(1)
    along = np.sum(array, axis=tuple(a for a in range(array.ndim) if a != view.axis))
    return along if view.inner == 1 else np.sum(along.reshape(-1, view.inner), 1 - view.minor)


def _with_size(changes: Sequence[Any]) -> list[np.ndarray]:
    return [np.stack([change, np.abs(change)]) for change in changes]


def _with_decay(decay: Scalar | float, values: Any, changes: Any) -> Any:
    return jax.tree.map(lambda value, change: change + decay * value, values, changes)


def random_model(key: Array, model: Model) -> Model:
    """One whose leaves are near those given."""
    leaves, shape = jax.tree.flatten(model)
    moved = [
        leaf + (0.3 * jnp.sqrt(jnp.mean(leaf**2)) + 0.3) * drawn
        for leaf, drawn in zip(leaves, _normals(key, leaves), strict=True)
    ]
    return jax.tree.unflatten(shape, moved)


def _normals(key: Array, like: Sequence[Any]) -> list[Array]:
    """Gaussian arrays of these shapes, by one draw: XLA takes as long for each as for a field."""
    ends = np.cumsum([math.prod(one.shape) for one in like])
    parts = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1].tolist())
    return [part.reshape(one.shape) for part, one in zip(parts, like, strict=True)]


def random_lesson(key: Array, data: Data, zero_sum: bool) -> Data:
    """A few random samples of the data's kind, with free errors that sum to 0 if `zero_sum`."""
    inputs, error = data.inputs[:SAMPLES], data.targets[:SAMPLES]
    if jnp.issubdtype(inputs.dtype, jnp.inexact):
        drawn = _normals(key, (inputs, error))
        inputs, error = drawn[0].astype(inputs.dtype), drawn[1].astype(error.dtype)
    else:  # tokens: others of those that there are
        first, second = jax.random.split(key)
        inputs = jax.random.permutation(first, data.inputs)[:SAMPLES]
        error = jax.random.normal(second, error.shape, error.dtype)
    if zero_sum:
        error = error - jnp.mean(error, axis=-1, keepdims=True)
    return Data(inputs, error, GivenError(), jnp.ones_like(data.weight))


def matrix_rates(law: LeafBalance, learner: Learner, at: At, first: int) -> list[np.ndarray]:
    """Of every balance's matrix (states, 2, rows, rows), as `share_rates`, at states from the
    number `first` on."""

    def one(number: int) -> list[np.ndarray]:
        changes = jax.device_get(_matrix_changes(law, learner, at(number)))
        return [np.sum(both, axis=-1) for both in _with_size(changes)]

    numbers = range(first, first + SPARE + FRESH)
    return jax.tree.map(lambda *each: np.stack(each), *map(one, numbers))


@compiled(ONCE)
def _matrix_changes(law: LeafBalance, learner: Learner, state: Moved) -> tuple[Array, ...]:
    shape = jax.tree.structure(learner.model)

    def terms(leaves: list[Array], back: Feedback) -> tuple[Array, ...]:
        return law.terms(jax.tree.unflatten(shape, leaves), back, learner.data)

    point, moves = (state.leaves, state.feedback), (state.velocity, state.change)
    return _with_decay(learner.decay, *jax.jvp(terms, point, moves))
