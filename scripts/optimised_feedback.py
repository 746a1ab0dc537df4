"""A feedback matrix that follows the gradient of the loss it leaves, beside random ones.

`python scripts/optimised_feedback.py [TASKS]`: B of a 5-16-3 tanh net moves on a sphere against
d/dB of the mean log loss at t = 3 on TASKS drawn tasks and starts, and is tried on 64 others.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt

jax.config.update("jax_enable_x64", True)
from faflow import Feedback, FlowProblem, Numerics, solve
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

INPUTS, WIDTH, OUTPUTS, SAMPLES, UNSEEN = 5, 16, 3, 20, 64
TIMES = jnp.linspace(0.0, 3.0, 13)
TANH = ACTIVATIONS["tanh"]()


def net(key):
    first, second = jax.random.split(key)
    shapes = ((WIDTH, INPUTS), (OUTPUTS, WIDTH))
    draw = lambda key, shape: jax.random.normal(key, shape) / shape[1] ** 0.5  # noqa: E731
    return MLP((draw(first, shapes[0]), draw(second, shapes[1])), activation=TANH)


def task(key):
    """Data of a random teacher, and the weights to start from."""
    teacher, start, inputs = jax.random.split(key, 3)
    x = jax.random.normal(inputs, (SAMPLES, INPUTS))
    return x, net(teacher)(x), net(start).weights


BASE = make_data(np.zeros((SAMPLES, INPUTS)), np.zeros((SAMPLES, OUTPUTS)), reduction="mean")


def losses(back, task, adjoint=None):
    """(saves,): the loss over time."""
    inputs, targets, weights = task
    data = eqx.tree_at(lambda d: (d.inputs, d.targets), BASE, (inputs, targets))
    start = MLP(weights, activation=TANH)
    problem = FlowProblem(FeedbackAlignment(), start, Feedback((back,), "layerwise"), data)
    numerics = Numerics(solver="tsit5", rtol=1e-5, atol=1e-7, adjoint=adjoint)
    return solve(problem, TIMES, {"loss": Loss()}, numerics).records["loss"]


@jax.jit
def step(back, tasks, rate):
    """One step against the gradient, back onto the sphere."""
    final = lambda back, one: jnp.log(losses(back, one, "checkpointed")[-1])  # noqa: E731
    slope = jnp.mean(jax.vmap(jax.grad(final), (None, 0))(back, tasks), 0)
    size = jnp.linalg.norm(back)
    moved = back - rate * size * slope / jnp.linalg.norm(slope)
    return size * moved / jnp.linalg.norm(moved)


every = jax.jit(jax.vmap(losses, (None, 0)))


def main(tasks=32, steps=40):
    draw = lambda seed, count: jax.vmap(task)(jax.random.split(jax.random.key(seed), count))  # noqa: E731
    seen, unseen = draw(0, tasks), draw(1, UNSEEN)
    norm = (OUTPUTS * WIDTH) ** 0.5
    randoms = [jax.random.normal(jax.random.key(k), (OUTPUTS, WIDTH)) for k in range(2, 10)]
    randoms = [norm * back / jnp.linalg.norm(back) for back in randoms]
    back = randoms[0]
    for number in range(steps):
        back = step(back, seen, 0.2 / (1 + number / 10))
    curves = [np.asarray(every(one, unseen)) for one in (back, *randoms)]
    middle = [np.exp(np.mean(np.log(curve), 0)) for curve in curves]
    factor = np.exp(np.mean(np.log([curve[-1] for curve in middle[1:]]))) / middle[0][-1]
    print(f"unseen loss at t = 3: optimised {middle[0][-1]:.4f}, random of equal norm "
          f"{min(c[-1] for c in middle[1:]):.4f} to {max(c[-1] for c in middle[1:]):.4f}")  # fmt: skip
    print(f"optimised feedback leaves {factor:.2f} times less")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for k, curve in enumerate(middle[1:]):
        left.semilogy(TIMES, curve, color="0.6", label=None if k else "random, eight of equal norm")
    left.semilogy(TIMES, middle[0], color="C0", lw=2, label="optimised")
    left.set(xlabel="time t", ylabel="loss, geometric mean over 64 unseen tasks")
    left.legend(frameon=False)
    cosines = lambda back: np.asarray(back @ back.T / jnp.sum(back**2) * OUTPUTS)  # noqa: E731
    values = [np.linalg.svd(np.asarray(one), compute_uv=False) for one in (back, *randoms)]
    del cosines
    for k, value in enumerate(values[1:]):
        right.plot([1, 2, 3], value, "o-", color="0.6", label=None if k else "random")
    right.plot([1, 2, 3], values[0], "o-", color="C0", lw=2, label="optimised")
    right.set(xlabel="number", ylabel="singular value of B", xticks=[1, 2, 3], ylim=(0, None))
    right.legend(frameon=False)
    figure.savefig("optimised_feedback.png", dpi=150)


main(*map(int, sys.argv[1:]))
