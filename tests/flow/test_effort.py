"""What a field costs by its size, and how its flow is compiled."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow import _compiling
from faflow.feedback import Feedback
from faflow.flow import Flow, FlowProblem, Numerics, in_slices, use_of_steps
from faflow.flow.effort import VECTORS
from faflow.flow.loop import slices
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import RULES
from faflow.tasks import make_data


def problem(samples: int, width: int) -> FlowProblem:
    rng = np.random.default_rng(5)
    x, y = jnp.asarray(rng.normal(size=(samples, 3))), jnp.asarray(rng.normal(size=(samples, 1)))
    weights = tuple(jnp.asarray(0.5 * rng.normal(size=s)) for s in ((width, 3), (1, width)))
    net = MLP(weights, activation=ACTIVATIONS["tanh"]())
    return FlowProblem(RULES["gradient"](), net, Feedback(), make_data(x, y))


@pytest.mark.parametrize("width", [9, 11])
def test_flows_of_many_signals_are_compiled_with_vectors(width: int) -> None:
    """The layers of an n-width-1 net have width + 1 numbers a sample."""
    samples = VECTORS // 11
    assert use_of_steps(problem(samples, width)) == ("loop" if width == 9 else "long")


def test_vectors_change_a_flow_by_rounding_alone() -> None:
    flow = Flow(problem(20, 5), jnp.asarray([0.0, 3.0]), {}, Numerics("tsit5", step=0.1))
    ends = []
    for use in (_compiling.LOOP, _compiling.LONG):
        ends.append(in_slices(flow, programs=slices.programs_of_flows(use))[0])
    one, other = ends
    assert int(one.counts.accepted) == int(other.counts.accepted) == 30
    assert eqx.tree_equal(one.weights, other.weights, rtol=1e-11, atol=1e-12)
    moved = jax.tree.map(
        lambda now, then: np.max(np.abs(np.subtract(now, then))), one.weights, flow.problem.weights
    )
    assert max(jax.tree.leaves(moved)) > 0.1
