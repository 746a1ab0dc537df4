"""Derivatives of limits: closed forms and the flow itself, where laws suffice and where not."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.networks import MLP
from faflow.observables import linear_map
from faflow.rules import FeedbackAlignment
from faflow.sensitivity import limit_of_flow
from faflow.tasks import make_data

RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.normal(size=shape)


TARGET = drawn(4, 5)
FACTORS = MLP((jnp.asarray(drawn(2, 5) / 3), jnp.asarray(drawn(4, 2) / 3)))
BASE = make_data(np.eye(5), TARGET.T)
B, DB, DY = drawn(2, 4), drawn(2, 4), drawn(4, 5)


def product(back, target, **more):
    """Z W at the end of low-rank factorisation by feedback alignment."""
    data = eqx.tree_at(lambda d: d.targets, BASE, jnp.asarray(target.T))
    feedback = Feedback((jnp.asarray(back.T),), "layerwise")
    problem = FlowProblem(FeedbackAlignment(), FACTORS, feedback, data)
    return limit_of_flow(problem, 200.0, **({"of": linear_map} | more))


def test_derivative_of_the_low_rank_limit():
    """Y P, P the projector on the rows of M = BY: dP = M^+ dM (1 - P) + transposed. One direction
    of (W, Z) is free, along which the product does not move."""
    found = product(B, TARGET)
    assert (int(found.rank), int(found.weights)) == (17, 18)
    assert found.gap < 1e-10 and found.free < 1e-10
    value = lambda back, target: product(back, target).value  # noqa: E731
    m, dm = B @ TARGET, DB @ TARGET + B @ DY
    inverse = np.linalg.pinv(m)
    p = inverse @ m
    half = inverse @ dm @ (np.eye(5) - p)
    exact = DY @ p + TARGET @ (half + half.T)
    np.testing.assert_allclose(found.value, TARGET @ p, atol=1e-12)
    change = jax.jvp(value, (B, TARGET), (DB, DY))[1]
    np.testing.assert_allclose(change, exact, atol=1e-10)
    seen = drawn(4, 5)
    gradient = jax.vjp(value, B, TARGET)[1](jnp.asarray(seen))
    back = np.vdot(gradient[0], DB) + np.vdot(gradient[1], DY)
    np.testing.assert_allclose(back, np.vdot(seen, exact), rtol=1e-10)


def test_weights_that_laws_leave_open():
    """Said, or taken from the flow there: as the flow's own derivative at a late time."""
    whole = lambda weights: weights  # noqa: E731

    def ends(back, **more):
        return product(back, TARGET, of=whole, **more).value.weights

    with pytest.raises(ValueError, match="1 of 18 directions are free") as caught:
        jax.jvp(ends, (B,), (DB,))
    assert "\n" not in str(caught.value)
    found = jax.jvp(lambda back: ends(back, integrated=True), (B,), (DB,))[1]

    def late(back):
        pair = Feedback((jnp.asarray(back.T),), "layerwise")
        problem = FlowProblem(FeedbackAlignment(), FACTORS, pair, BASE)
        numerics = Numerics(solver="tsit5", rtol=1e-10, atol=1e-12)
        return integrate(problem, np.array([0.0, 40.0]), {}, numerics).weights.weights

    for one, other in zip(found, jax.jvp(late, (B,), (DB,))[1], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_a_flow_that_is_not_at_rest_has_no_limit_yet():
    with pytest.raises(ValueError, match="must be late enough") as caught:
        problem = FlowProblem(
            FeedbackAlignment(), FACTORS, Feedback((jnp.asarray(B.T),), "layerwise"), BASE
        )
        limit_of_flow(problem, 0.1)
    assert "\n" not in str(caught.value)


def test_a_limit_of_too_many_weights():
    many = MLP((jnp.zeros((40, 40)), jnp.zeros((2, 40))))
    back, data = (
        Feedback((jnp.ones((2, 40)),), "layerwise"),
        make_data(np.eye(40), np.eye(40)[:, :2]),
    )
    with pytest.raises(ValueError, match=r"at most 1500 weights .* but has 1680; differentiate"):
        limit_of_flow(FlowProblem(FeedbackAlignment(), many, back, data), 10.0)
