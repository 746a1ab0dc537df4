"""Which feedback learns fastest?

`python scripts/fast_feedback.py [FIGURE]`. Two-layer linear nets learn y = U diag(s) V^T x: U and s
are those of all tasks, V, data and weights are drawn anew. The feedback B is optimised for the mean
of log loss at t = 25, by gradients through the flows of 10 tasks, and runs on others beside random
B of equal norm. From small weights on white inputs, and with u_i^T B orthogonal, the smallest
exponent is min_i (4 s_i^2 g_i)^(1/3) / 2, g_i = |u_i^T B|^2: "theory" has g_i as 1 / s_i^2.
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
from faflow.observables import Loss
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

rng, s, ts = np.random.default_rng(0), np.logspace(0, -1, 3), np.arange(26.0)
frame = lambda n: np.linalg.qr(rng.normal(size=(n, 3)))[0]  # noqa: E731
U, rule = frame(10), FeedbackAlignment()


def task(_):
    x, w = rng.normal(size=(60, 6)), jnp.asarray(rng.normal(size=(20, 6)) / 10)
    return MLP((w, jnp.zeros((10, 20)))), make_data(x, x @ (frame(6) * s) @ U.T, reduction="mean")


def flows(back, tasks, ts=ts, **more):
    pair = Feedback((10**0.5 * back.reshape(10, 20) / jnp.linalg.norm(back),), "layerwise")
    how = {"loss": Loss()}, Numerics(solver="tsit5", rtol=1e-5, **more)
    return jax.lax.map(lambda t: integrate(FlowProblem(rule, t[0], pair, t[1]), ts, *how), tasks)


seen, unseen = (jax.tree.map(lambda *x: jnp.stack(x), *map(task, range(n))) for n in (10, 10))
logs = eqx.filter_jit(lambda *at, **more: jnp.log(flows(*at, **more).records["loss"]).mean(0))
slope = jax.value_and_grad(lambda b: logs(b, seen, ts[[0, -1]], adjoint="checkpointed")[-1])
found = minimize(jax.jit(slope), rng.normal(size=200), jac=True, options={"maxiter": 18})
backs = [found.x, U / s @ frame(20).T, *rng.normal(size=(24, 200))]
means = np.exp([logs(jnp.asarray(back), unseen) for back in backs])
chance, factors = means[2:], means[2:, -1] / means[:2, -1, None]
print(
    "random over optimised, theory, median and least:", *np.quantile(factors, [0.5, 0], 1).round(1)
)

figure, axes = plt.subplots(layout="constrained")
axes.fill_between(ts, chance.min(0), chance.max(0), alpha=0.3, label="24 random B of equal norm")
axes.semilogy(ts, means[:2].T, label=["optimised", "theory"])
axes.set(xlabel="time", ylabel="loss of unseen tasks (geometric mean)")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "fast_feedback.png", dpi=150)
