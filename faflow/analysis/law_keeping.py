"""Whether a law is kept: measured along the field, whatever the rule claims."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._compiling import ONCE, compiled
from .._types import PyTree, Scalar
from ..feedback import Feedback
from ..flow import FlowProblem
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw
from ..population import AbstractPopulationRule
from ..rules import AbstractLearningRule, AbstractWeightRule, State, bare, weight_velocity
from ..tasks import Data
from . import LawRate, law_rates

KEPT = {"float64": 1e-9, "float32": 1e-4}  # relative rate below which a law counts as kept
SEED = 20_231_107  # of the second point; fixed, so that a result can be had again

Rates = Mapping[str, LawRate]


def rates_near(laws: Mapping[str, AbstractConservationLaw], problem: FlowProblem) -> list[Rates]:
    """The laws' rates at the start and at a random state near it, at t = 1.

    Two points, because a field can keep a law by chance at a special one (zero weights, or weights
    equal to a copy of them that the rule holds; t = 0 for a field that depends on time).
    """
    rule, point = problem.rule, (problem.weights, problem.feedback, problem.data)
    start = rule.init(*point)
    other = perturbed(start)
    if isinstance(rule, AbstractPopulationRule):  # not all matrices are overlaps of some weights
        other = rule.init(perturbed(problem.weights), problem.feedback, problem.data)
    places = ((start, 0.0), (other, 1.0))
    return [
        law_rates(laws, rule, *point, state, jnp.asarray(np.asarray(t), float))
        for state, t in places
    ]


def are_kept(rates: Sequence[Rates], bound: float) -> dict[str, bool]:
    """Whether every law's relative rate is below `bound` wherever it was measured. A rate that is
    no number keeps nothing."""
    return {
        name: all(bool(np.all(np.asarray(found[name].relative) < bound)) for found in rates)
        for name in rates[0]
    }


def knows_velocity(problem: FlowProblem) -> bool:
    """Whether dW/dt is known from weights and feedback alone, as speeds and exponents need it: not
    under a memory (momentum's, align-ada's first weights, the lengths ||v_j|| of weight
    normalisation), nor under rates that change with time.

    Looked at a step of Euler's method away from the start, and later.
    """
    rule = bare(problem.rule)
    if isinstance(rule, AbstractWeightRule | AbstractPopulationRule):
        return True
    gap, size = _gap_later(rule, problem.weights, problem.feedback, problem.data)
    return bool(gap <= jnp.finfo(gap.dtype).eps ** 0.5 * size)


@compiled(ONCE)
def _gap_later(
    rule: AbstractLearningRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> tuple[Scalar, Scalar]:
    """The largest entries of dW/dt remembered minus dW/dt of the weights alone, and of both."""
    start = rule.init(weights, feedback, data)
    move = rule.velocity(jnp.zeros(()), start, feedback, data)
    size, speed = (largest(tree) for tree in (start, move))
    step = 0.01 * size / jnp.where(speed > 0, speed, 1.0)
    state = jax.tree.map(lambda s, m: s + step * m, start, move)
    told, _ = weight_velocity(rule, weights, feedback, data, state, jnp.ones(()))
    alone, _ = weight_velocity(rule, *rule.read(state, feedback, data), data)
    return largest(jax.tree.map(jnp.subtract, told, alone)), largest([told, alone])


def largest(tree: PyTree) -> Scalar:
    """The largest size of an entry of a pytree."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(tree)]))


def perturbed(state: State) -> State:
    """Every entry plus a gaussian of standard deviation 0.1 rms + 0.1 (zero weights move too)."""
    leaves, structure = jax.tree.flatten(state)
    # In JAX, outside of its transformations, each line would be a program for every shape.
    traced = any(isinstance(leaf, Tracer) for leaf in leaves)
    xp = jnp if traced else np
    values = [leaf if traced else np.asarray(leaf) for leaf in leaves]
    count = sum(value.size for value in values)
    rms = xp.sqrt(sum(xp.sum(value**2) for value in values) / count)
    draws = np.random.default_rng(SEED)
    noise = [draws.standard_normal(value.shape).astype(value.dtype) for value in values]
    moved = [value + (0.1 * rms + 0.1) * draw for value, draw in zip(values, noise, strict=True)]
    return jax.tree.unflatten(structure, [jnp.asarray(value, leaves[0].dtype) for value in moved])
