"""Which feedback ends nearest to the map of least norm?

`python scripts/least_norm_feedback.py [FIGURE]`. Two-layer linear nets from one W_1(0) with
orthogonal columns and W_2(0) = 0, with fewer samples than inputs. The feedback B is optimised for
the distance from the least-norm interpolation at t = 100, by gradients through flows on 10 data
sets, and runs on others beside random B of equal norm. Theory: at the end the map is
off by W_2 W_1(0) (1 - P), P on the rows of X, and W_2 = A W_1(0)^T + A A^T B / 2 with A = A P, so
that it is of least norm on all data as soon as B W_1(0) = 0.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

from faflow import FlowProblem, Numerics, integrate
from faflow.feedback import Feedback
from faflow.networks import MLP
from faflow.observables import linear_map
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

rng, rule = np.random.default_rng(0), FeedbackAlignment()
net = MLP((jnp.asarray(np.linalg.qr(rng.normal(size=(16, 10)))[0] / 2), jnp.zeros((3, 16))))


def task(_):
    x, z = rng.normal(size=(5, 10)), rng.normal(size=(10, 3)) / 3
    return make_data(x, x @ z, reduction="mean"), jnp.asarray((np.linalg.pinv(x) @ x @ z).T)


@eqx.filter_jit
def distances(back, tasks, **more):
    feedback = Feedback((3**0.5 * back.reshape(3, 16) / jnp.linalg.norm(back),), "layerwise")
    ts, how = jnp.asarray([0.0, 100.0]), Numerics(solver="tsit5", rtol=1e-6, **more)
    flow = lambda data: integrate(FlowProblem(rule, net, feedback, data), ts, {}, how)  # noqa: E731
    off = jax.lax.map(lambda data: linear_map(flow(data).weights), tasks[0]) - tasks[1]
    return jnp.sqrt(jnp.sum(off**2, (1, 2)) / jnp.sum(tasks[1] ** 2, (1, 2)))


seen, unseen = (jax.tree.map(lambda *x: jnp.stack(x), *map(task, range(10))) for _ in range(2))
slope = jax.value_and_grad(lambda b: jnp.mean(distances(b, seen, adjoint="checkpointed") ** 2))
found = minimize(jax.jit(slope), rng.normal(size=48), (), "L-BFGS-B", True, tol=1e-7)
backs = [found.x, *rng.normal(size=(24, 48))]
ends = np.array([jnp.mean(distances(jnp.asarray(back), unseen) ** 2) ** 0.5 for back in backs])
factors, left = ends[1:] / ends[0], np.linalg.norm(found.x.reshape(3, 16) @ net.weights[0])
print("random over optimised, median and least:", *np.quantile(factors, [0.5, 0]).round(1))
print(f"|B W_1(0)| is {2 * left / np.linalg.norm(found.x):.1e} of what it may be")

figure, axes = plt.subplots(layout="constrained")
axes.hist(ends[1:], bins=np.logspace(-5, 0, 51), label="24 random B of equal norm")
axes.axvline(ends[0], color="C1", label="optimised")
axes.set(xscale="log", xlabel="distance from least norm, unseen data", ylabel="feedbacks")
axes.legend(loc="center")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "least_norm_feedback.png", dpi=150)
