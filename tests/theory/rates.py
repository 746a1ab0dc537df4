"""d(law)/dt along a rule's field by autodiff: the theorem without an integrator."""

import equinox as eqx
import jax
import numpy as np

from faflow.rules import weight_velocity


def _size(tree):
    return sum(np.sum(np.square(np.asarray(leaf))) for leaf in jax.tree.leaves(tree)) ** 0.5


def relative_rate(law, problem):
    """Per hidden layer of the law, max |dQ/dt + decay Q| in units of the law's scale per time that
    the weights need to change by their own size."""
    return _relative(problem, _rates(law, problem))


def jitted_relative_rate(law, problem):
    """The same, by one program: where no other test has these shapes."""
    return _relative(problem, _jitted_rates(law, problem))


def _relative(problem, rates):
    found, decay, velocity = jax.device_get(rates)
    pace = _size(velocity) / _size((problem.weights, problem.feedback))
    return [
        float(np.max(np.abs(change + decay * now)) / (pace * np.max(scale)))
        for change, now, scale in zip(*found, strict=True)
    ]


def _rates(law, problem):
    weights, feedback, data = problem.weights, problem.feedback, problem.data
    velocity = weight_velocity(problem.rule, weights, feedback, data)
    value, rate = jax.jvp(lambda w, f: law(w, f, data), (weights, feedback), velocity)
    return (rate, value, law.scale(weights, feedback, data)), law.decay, velocity


_jitted_rates = eqx.filter_jit(_rates)
