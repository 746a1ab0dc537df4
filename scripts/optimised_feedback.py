"""Which feedback learns fastest?

`python scripts/optimised_feedback.py [FIGURE [TASKS STEPS]]`. The feedback matrix of a tanh net
moves on a sphere against d/dB of the log loss that is left at t = 3, mean over teachers and inputs
drawn at random, and is tried on 64 others beside eight random matrices of its norm.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, Numerics
from faflow.feedback import Feedback
from faflow.flow import solve
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)
(tasks, steps), keys = map(int, sys.argv[2:] or (32, 40)), jax.random.split
draw, ts, base = jax.random.normal, jnp.linspace(0, 3, 7), make_data(np.zeros((20, 5)), np.zeros((20, 3)))


def net(key):
    first, second = draw(key, (16, 5)) / 5**0.5, draw(keys(key)[0], (3, 16)) / 4
    return MLP((first, second), activation=ACTIVATIONS["tanh"]())


def losses(back, key, adjoint=None):
    inputs, start = draw(key, (20, 5)), net(jax.random.key(0))
    arrays = (inputs, net(keys(key)[1])(inputs), jnp.asarray(1 / 20))
    data = eqx.tree_at(lambda d: (d.inputs, d.targets, d.weight), base, arrays)
    problem = FlowProblem(FeedbackAlignment(), start, Feedback((back,), "layerwise"), data)
    numerics = Numerics(solver="tsit5", rtol=1e-5, atol=1e-7, adjoint=adjoint)
    return jnp.log(solve(problem, ts, {"loss": Loss()}, numerics).records["loss"])


sized = lambda back: back * 48**0.5 / jnp.linalg.norm(back)  # noqa: E731
left = lambda back, key: losses(back, key, "checkpointed")[-1]  # noqa: E731
slopes = jax.jit(jax.vmap(jax.grad(left), (None, 0)))
seen, unseen = keys(jax.random.key(1), tasks), keys(jax.random.key(2), 64)
backs = [sized(draw(key, (3, 16))) for key in keys(jax.random.key(3), 8)]
back = backs[0]
for step in range(steps):
    slope = jnp.mean(slopes(back, seen), 0)
    back = sized(back - 1.5 / (1 + step / 10) * slope / jnp.linalg.norm(slope))
every = jax.jit(jax.vmap(losses, (None, 0)))
curves = np.exp([np.mean(every(one, unseen), 0) for one in (*backs, back)])
*rest, best = curves[:, -1]
factor = np.exp(np.mean(np.log(rest))) / best
print(f"unseen loss at t = 3: {best:.4f}, random {min(rest):.4f} to {max(rest):.4f}: {factor:.2f}")
plt.semilogy(ts, curves[:-1].T, "0.7")
plt.semilogy(ts, curves[-1], "C0", lw=2.5, label="optimised; grey: random, of equal norm")
plt.gca().set(xlabel="time", ylabel="loss, geometric mean over 64 unseen tasks")
plt.legend(frameon=False)
plt.savefig(sys.argv[1] if len(sys.argv) > 1 else "optimised_feedback.png", dpi=150)
