"""Whether a law is kept: measured along the field, whatever the rule claims."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..analysis import law_rate
from ..flow import FlowProblem
from ..observables import AbstractConservationLaw
from ..population import AbstractPopulationRule
from ..rules import AbstractWeightRule, State, bare, weight_velocity

KEPT = {"float64": 1e-9, "float32": 1e-4}  # relative rate below which a law counts as kept
SEED = 20_231_107  # of the second point; fixed, so that a result can be had again


def is_kept(law: AbstractConservationLaw, problem: FlowProblem, bound: float) -> bool:
    """Whether the law's relative rate is below `bound` at the start and at a random state near it.

    Two points, because a field can keep a law by chance at a special one (zero weights, or weights
    equal to a copy of them that the rule holds; t = 0 for a field that depends on time). A rate
    that is no number keeps nothing.
    """
    rule, point = problem.rule, (problem.weights, problem.feedback, problem.data)
    start = rule.init(*point)
    other = perturbed(start)
    if isinstance(rule, AbstractPopulationRule):  # not all matrices are overlaps of some weights
        other = rule.init(perturbed(problem.weights), problem.feedback, problem.data)
    for state, t in ((start, 0.0), (other, 1.0)):
        rate = law_rate(law, rule, *point, state, jnp.asarray(t))
        if not bool(np.all(np.asarray(rate.relative) < bound)):
            return False
    return True


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


@eqx.filter_jit
def _gap_later(rule, weights, feedback, data):
    """The largest entries of dW/dt remembered minus dW/dt of the weights alone, and of both."""
    start = rule.init(weights, feedback, data)
    move = rule.velocity(jnp.zeros(()), start, feedback, data)
    size, speed = (largest(tree) for tree in (start, move))
    step = 0.01 * size / jnp.where(speed > 0, speed, 1.0)
    state = jax.tree.map(lambda s, m: s + step * m, start, move)
    told, _ = weight_velocity(rule, weights, feedback, data, state, jnp.ones(()))
    alone, _ = weight_velocity(rule, *rule.read(state, feedback, data), data)
    return largest(jax.tree.map(jnp.subtract, told, alone)), largest([told, alone])


def largest(tree) -> jax.Array:
    """The largest size of an entry of a pytree."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(tree)]))


@eqx.filter_jit
def perturbed(state: State) -> State:
    """Every entry plus a gaussian of standard deviation 0.1 rms + 0.1 (zero weights move too)."""
    leaves, structure = jax.tree.flatten(state)
    count = sum(leaf.size for leaf in leaves)
    rms = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in leaves) / count)
    keys = jax.random.split(jax.random.key(SEED), len(leaves))
    moved = [
        leaf + (0.1 * rms + 0.1) * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, moved)
