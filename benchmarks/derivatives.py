"""What a derivative costs, in flows: `python benchmarks/derivatives.py [SAMPLES RTOL]`.

A tanh 64-100-10 net on scikit-learn's digits under feedback alignment, to t = 100: the loss at the
end by a whole feedback matrix. CPU seconds of this process, the best of three, without compiling.
"""

import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

from faflow import FlowProblem, Numerics
from faflow.feedback import Feedback
from faflow.flow import solve
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

REPEATS = 3


def seconds(name, function, *given):
    compiled = jax.jit(function).lower(*given).compile()
    best = np.inf
    for _ in range(REPEATS):
        begun = time.process_time()
        jax.block_until_ready(compiled(*given))
        best = min(best, time.process_time() - begun)
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
    print(f"{name:24} {best:8.3f} s {memory:8.1f} MiB", end="")
    return best


def main(samples="100", rtol="1e-6"):
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    inputs, digits = load_digits(return_X_y=True)
    inputs, digits = inputs[: int(samples)] / 16, digits[: int(samples)]
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape) / shape[1] ** 0.5)  # noqa: E731
    net = MLP((draw(100, 64), draw(10, 100)), activation=ACTIVATIONS["tanh"]())
    back, way = draw(10, 100), draw(10, 100)
    data = make_data(inputs, np.eye(10)[digits], reduction="mean")
    problem = FlowProblem(FeedbackAlignment(), net, Feedback((back,), "layerwise"), data)
    ts = jnp.linspace(0.0, 100.0, 11)

    def loss(back, **more):
        there = eqx.tree_at(lambda p: p.feedback.matrices, problem, (back,))
        numerics = Numerics(solver="tsit5", rtol=float(rtol), **more)
        return solve(there, ts, {"loss": Loss()}, numerics).records["loss"][-1]

    def pushed(**more):
        return lambda back: jax.jvp(lambda b: loss(b, **more), (back,), (way,))

    flow = seconds("flow", loss, back)
    print()
    for name, function in {
        "jvp, free": pushed(),
        "jvp, controlled": pushed(sensitivities="controlled"),
        "grad, checkpointed": jax.grad(lambda back: loss(back, adjoint="checkpointed")),
    }.items():
        print(f"  {seconds(name, function, back) / flow:.2f} flows")


main(*sys.argv[1:])
