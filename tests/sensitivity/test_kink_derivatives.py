"""Derivatives across kinks: central differences of exact flows, and what they are without jumps."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback
from faflow.flow import Exact, FlowProblem, Numerics, integrate
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import DirectFeedbackAlignment, FeedbackAlignment
from faflow.sensitivity import across_kinks, kinks
from faflow.sensitivity.kinks import LOG
from faflow.tasks import make_data

EXACT = Numerics(
    solver="tsit5", rtol=1e-12, atol=1e-14, kinks="exact", exact=Exact(events=LOG)
)  # the same program as the one that is looked at


def case(seed, widths, rule, form, samples):
    """(make, at, direction): weights, feedback and inputs all move."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape)  # noqa: E731
    weights = tuple(0.7 * draw(b, a) for a, b in itertools.pairwise(widths))
    base = make_data(draw(samples, widths[0]), draw(samples, widths[-1]))
    shapes = [w.shape for w in weights[1:]]
    if form == "direct":
        shapes = [(widths[-1], n) for n in widths[1:-1]]
    at = weights, tuple(draw(*shape) for shape in shapes), base.inputs

    def make(at):
        weights, matrices, inputs = jax.tree.map(jnp.asarray, at)
        net = MLP(weights, activation=ACTIVATIONS["relu"]())
        data = eqx.tree_at(lambda d: d.inputs, base, inputs)
        return FlowProblem(rule(), net, Feedback(matrices, form), data)

    return make, at, jax.tree.map(lambda leaf: draw(*leaf.shape), at)


@pytest.mark.parametrize(
    ("drawn", "end"),
    [
        ((1, (3, 5, 1), FeedbackAlignment, "layerwise", 6), 6.0),
        ((5, (3, 5, 1), FeedbackAlignment, "layerwise", 6), 6.0),
        ((4, (3, 4, 4, 2), DirectFeedbackAlignment, "direct", 6), 3.0),
    ],
    ids=["slides", "other-slides", "deep-direct"],
)
def test_jumps_at_crossings_and_slides(drawn, end):
    make, at, way = case(*drawn)
    ts = np.array([0.0, end])
    found = across_kinks(make, at, way, ts)
    counts = found.flow.events.counts
    assert int(counts.crossed) and int(counts.landed)
    without = across_kinks(make, at, way, ts, jumps=False)

    def moved(s):
        there = make(jax.tree.map(lambda a, b: a + s * b, at, way))
        return ravel(integrate(there, ts, {}, EXACT).weights)

    ravel = lambda net: np.concatenate([np.ravel(w) for w in net.weights])  # noqa: E731
    central = (moved(1e-6) - moved(-1e-6)) / 2e-6
    size = np.max(np.abs(central))
    assert np.max(np.abs(ravel(found.change) - central)) < 1e-6 * size
    assert np.max(np.abs(ravel(without.change) - central)) > 0.05 * size


def test_what_has_no_derivative_is_said():
    make, at, way = case(1, (3, 5, 1), FeedbackAlignment, "layerwise", 6)
    numerics = Numerics(solver="tsit5", rtol=1e-10, atol=1e-12, max_steps=5)
    with pytest.raises(ValueError, match=r"ended at t = .*shorten `ts`") as caught:
        across_kinks(make, at, way, np.array([0.0, 6.0]), numerics)
    assert "\n" not in str(caught.value)
    # Two copies of one sample come to 0 together, whatever else they do.
    weights, matrices, inputs = at
    twice = np.concatenate([inputs[:1], inputs[:1], inputs[2:]])
    with pytest.raises(ValueError, match="at once at t = "):
        across_kinks(make, (weights, matrices, twice), way, np.array([0.0, 6.0]))


def test_a_pair_that_grazes():
    """One unit, closed on a sample at whose h it is 0, moves along another one, orthogonal to it:
    dh v = 0. Where the samples are not orthogonal, it is crossed."""
    for across, grazes in ((0.0, True), (0.3, False)):
        one = jnp.asarray(np.ones((1, 1)))
        net = MLP((jnp.asarray([[0.0, 1.0]]), one), activation=ACTIVATIONS["relu"]())
        data = make_data([[1.0, 0.0], [across, 1.0]], [[1.0], [2.0]])
        back = Feedback((one,), "layerwise")
        problem = FlowProblem(FeedbackAlignment(), net, back, data)
        chain = kinks._Chain(problem, problem, EXACT)
        closed, opened = np.array([-1, 1]), np.array([1, 1])
        modes = (chain.mode(sides, 0) for sides in (closed, opened))
        event = kinks._Event(0.25, 0, opened)
        if grazes:
            with pytest.raises(
                ValueError, match=r"grazes 0 at t = 0\.25, .*; move the start"
            ) as caught:
                chain.jump(*modes, (net, net), event)
            assert "\n" not in str(caught.value)
        else:
            assert np.all(np.isfinite(chain.jump(*modes, (net, net), event).weights[0]))
