"""Whether a law is kept: measured along the field, whatever the rule claims."""

import jax
import jax.numpy as jnp
import numpy as np

from ..analysis import law_rate
from ..flow import FlowProblem
from ..observables import AbstractConservationLaw
from ..population import AbstractPopulationRule
from ..rules import State

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
