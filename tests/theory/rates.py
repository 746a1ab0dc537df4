"""d(law)/dt along a rule's field by autodiff: the theorem without an integrator."""

import jax
import numpy as np

from faflow.rules import weight_velocity


def _size(tree):
    return sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)) ** 0.5


def relative_rate(law, problem):
    """Per hidden layer of the law, max |dQ/dt + decay Q| in units of the law's scale per time that
    the weights need to change by their own size."""
    weights, feedback, data = problem.weights, problem.feedback, problem.data
    velocity = weight_velocity(problem.rule, weights, feedback, data)
    value, rate = jax.jvp(lambda w, f: law(w, f, data), (weights, feedback), velocity)
    pace = _size(velocity) / _size((weights, feedback))
    found = jax.device_get((rate, value, law.scale(weights, feedback, data), law.decay))
    return [
        float(np.max(np.abs(change + found[-1] * now)) / (pace * np.max(scale)))
        for change, now, scale in zip(*found[:-1], strict=True)
    ]
