"""`solver = "rkc2"` in the step loop: counts, retracing, outcomes, batches, and what it saves."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
from oracles import random_flow, to_problem

from faflow._results import Outcome
from faflow.flow import FlowProblem, Numerics, integrate, solve
from faflow.rules import AbstractWeightRule, FeedbackAlignment

TS = jnp.array([0.0, 400.0])


class Counting(AbstractWeightRule):
    """Feedback alignment (times `sign`) that counts traces and calls of its field."""

    equation = source = "as feedback alignment"
    form = "layerwise"
    sign: jax.Array
    traces = []  # noqa: RUF012
    calls = []  # noqa: RUF012

    def vector_field(self, weights, feedback, data):
        self.traces.append(1)
        jax.debug.callback(lambda: self.calls.append(1))
        velocity = FeedbackAlignment().vector_field(weights, feedback, data)
        return jax.tree.map(lambda leaf: self.sign * leaf, velocity)

    def laws(self, weights):
        return {}


def problem(sign=1.0):
    """tanh 3-5-1, inputs of scale 3, 1 and 0.1: stiff from t = 10 on, slow until 1e4."""
    flow = random_flow(4, (3, 5, 1), samples=12, activation="tanh")
    made = to_problem(replace(flow, inputs=flow.inputs * np.array([3.0, 1.0, 0.1])))
    return FlowProblem(Counting(jnp.asarray(sign)), made.weights, made.feedback, made.data)


def numerics(rtol, **options):
    return Numerics(solver="rkc2", rtol=rtol, atol=rtol / 100, **options)


def test_one_program_exact_counts_and_outcomes():
    """Every evaluation is counted (the first step's choice, power iterations, rejected steps);
    tolerances, step limits and the rule's numbers retrace nothing."""
    Counting.calls.clear()
    first = integrate(problem(), TS, {}, numerics(1e-4))
    jax.effects_barrier()
    assert len(Counting.calls) == int(first.counts.evaluations)
    traces = len(Counting.traces)
    finer = integrate(problem(), TS, {}, numerics(1e-6))
    short = integrate(problem(), TS, {}, numerics(1e-6, max_steps=9), throw=False)
    away = integrate(problem(-1.0), TS, {}, numerics(1e-4), throw=False)  # uphill, for ever
    assert len(Counting.traces) == traces
    assert Outcome(int(short.outcome)) is Outcome.MAX_STEPS
    assert Outcome(int(away.outcome)) is Outcome.BLOW_UP
    plain = replace(problem(), rule=FeedbackAlignment())  # the same field, and no calls to Python
    reference = integrate(plain, TS, {}, Numerics(rtol=1e-11, atol=1e-13))
    tsit5 = integrate(plain, TS, {}, Numerics(rtol=1e-6, atol=1e-8))
    exact = oracles.final_state(reference.weights)
    error = np.linalg.norm(oracles.final_state(finer.weights) - exact) / np.linalg.norm(exact)
    assert error < 1e-4
    assert int(finer.counts.evaluations) < int(tsit5.counts.evaluations) / 3


def test_batches():
    """vmap over flows of different stiffness: each ends where it ends alone, counts included."""
    one = problem()
    scales = jnp.array([0.3, 1.0, 2.0])

    def alone(scale):
        data = replace(one.data, inputs=scale * one.data.inputs)
        flow = FlowProblem(FeedbackAlignment(), one.weights, one.feedback, data)
        found = solve(flow, TS / 10, {}, numerics(1e-4))
        return found.weights, found.counts.evaluations

    weights, counts = jax.jit(jax.vmap(alone))(scales)
    single = jax.jit(alone)
    for row, scale in enumerate(scales):
        expected, count = single(scale)
        assert int(counts[row]) == int(count)
        np.testing.assert_allclose(weights.weights[0][row], expected.weights[0], rtol=1e-8)
