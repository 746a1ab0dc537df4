"""Where exact flows are not unique: a pair slides while its neuron's outgoing weight changes sign.

All dh/dt of a neuron are proportional to its outgoing weights. With one of them, v, the surface
h = 0 that a pair slides on attracts for one sign of v and repels for the other: from v = 0 on the
flow may leave to either side. The discrete rule goes to one or the other, by chance of its step.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from random_flows import Kind, distance, euler, exact_numerics, random_flow
from scipy.integrate import quad

from faflow._results import Outcome
from faflow.feedback import Feedback
from faflow.flow import FlowProblem, integrate
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import Gradient
from faflow.tasks import make_data

ETAS = np.geomspace(1e-2, 1e-4, 12)
W, V = 1.0, 0.5  # second weight and read-out at the start


def one_neuron():
    """x_1 = (1, 0), x_2 = (-1/2, 1), both targets -1, w = (0, W), read-out V > 0.

    Sample 1 slides from the start: switched on it is pulled down, switched off sample 2 lifts it.
    """
    weights = (jnp.asarray([[0.0, W]]), jnp.asarray([[V]]))
    data = make_data([[1.0, 0.0], [-0.5, 1.0]], [[-1.0], [-1.0]], "squared", "sum")
    return FlowProblem(Gradient(), MLP(weights, (), ACTIVATIONS["relu"]()), Feedback(), data)


def fork_time():
    """Sliding leaves w_2' = -v e, v' = -w_2 e with e = v w_2 + 1: a hyperbola with the angle
    theta' = -e, and v = 0 at theta = 0."""
    r2, theta = W**2 - V**2, np.arctanh(V / W)
    return quad(lambda a: 1 / (1 + 0.5 * r2 * np.sinh(2 * a)), 0, theta, epsabs=1e-14)[0]


def branches(problem, t_end, **options):
    numerics = (exact_numerics(branch=branch, **options) for branch in ("nearest", "other"))
    ends = [integrate(problem, jnp.array([0.0, t_end]), {}, n, throw=False) for n in numerics]
    assert [int(end.outcome) for end in ends] == [Outcome.COMPLETED] * 2
    return ends


def split(problem, ends, t_end, near):
    """How many Euler runs end within `near` eta of each branch; all of them must at one."""
    counts = [0, 0]
    for eta in ETAS:
        run = euler(problem, float(eta), t_end)
        gaps = [distance(run, end.weights) for end in ends]
        assert min(gaps) < near * eta, (eta, gaps)
        counts[int(np.argmin(gaps))] += 1
    return counts


def test_one_neuron_forks_where_its_read_out_changes_sign():
    problem = one_neuron()
    stopped = integrate(problem, jnp.array([0.0, 3.0]), {}, exact_numerics(tol=1e-11), throw=False)
    assert int(stopped.outcome) == Outcome.NOT_UNIQUE
    fork = stopped.events.fork
    assert float(fork.time) == float(stopped.t_final) == pytest.approx(fork_time(), abs=1e-7)
    assert [int(place) for place in (fork.layer, fork.sample, fork.unit)] == [0, 0, 0]
    assert abs(float(stopped.weights.weights[1][0, 0])) < 1e-7
    ends = branches(problem, 3.0, tol=1e-11)
    sides = [float(end.weights.weights[0][0, 0]) for end in ends]  # h of sample 1
    assert sides[0] * sides[1] < 0 and distance(*(end.weights for end in ends)) > 0.9
    assert all(float(end.events.fork.time) == float(fork.time) for end in ends)
    counts = split(problem, ends, 3.0, 1.0)
    assert min(counts) >= 3, counts


@pytest.mark.slow
def test_gradient_flow_with_random_labels_forks():
    """Fifty neurons, a hundred samples: the first fork is of the same kind."""
    problem = random_flow(Kind("gradient", (10, 50, 1), 100, "random"), 0)
    options = {"slots": 64}
    stopped = integrate(problem, jnp.array([0.0, 3.0]), {}, exact_numerics(**options), throw=False)
    fork = stopped.events.fork
    assert int(stopped.outcome) == Outcome.NOT_UNIQUE
    assert float(fork.time) == pytest.approx(2.0567, abs=1e-4)
    assert abs(float(stopped.weights.weights[1][0, int(fork.unit)])) < 1e-7
    ends = branches(problem, 3.0, **options)
    assert distance(*(end.weights for end in ends)) > 5e-4
    counts = split(problem, ends, 3.0, 1.0)
    assert min(counts) >= 3, counts
