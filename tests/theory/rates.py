"""d(law)/dt along a rule's field by autodiff: the theorem without an integrator."""

import jax
import jax.numpy as jnp

from faflow.rules import weight_velocity


def _size(tree):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)) ** 0.5


def relative_rate(law, problem):
    """Per hidden layer of the law, max |dQ/dt + decay Q| in units of the law's scale per time that
    the weights need to change by their own size."""
    weights, feedback, data = problem.weights, problem.feedback, problem.data
    velocity = weight_velocity(problem.rule, weights, feedback, data)
    value, rate = jax.jvp(lambda w, f: law(w, f, data), (weights, feedback), velocity)
    pace = _size(velocity) / _size((weights, feedback))
    parts = zip(rate, value, law.scale(weights, feedback, data), strict=True)
    return [
        float(jnp.max(jnp.abs(change + law.decay * now)) / (pace * jnp.max(scale)))
        for change, now, scale in parts
    ]
