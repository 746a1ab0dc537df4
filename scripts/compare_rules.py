"""How do learning rules compare from the same weights, on the same data?

`python scripts/compare_rules.py [FIGURE]`. A tanh net with two hidden layers learns what a teacher
says, under four rules. Prints the loss at the end, and the angle between the error signals that a
rule sends to the first hidden layer and backpropagation's at the same weights: 0 for the gradient,
90 degrees for signals that know nothing of it.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, Numerics, integrate
from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.networks import ACTIVATIONS, INITIALISATIONS, initial_network
from faflow.observables import Loss
from faflow.rules import RULES, DeltaAlignment
from faflow.tasks import make_task

jax.config.update("jax_enable_x64", True)

widths, key = (8, 16, 16, 1), jax.random.key(0)
task = make_task("teacher", key=1, samples=40, widths=(8, 5, 1), activation="tanh",
                 reduction="mean")  # fmt: skip
network = initial_network(INITIALISATIONS["gaussian"](), key, widths, ACTIVATIONS["tanh"]())
names = ("gradient", "feedback-alignment", "direct-feedback-alignment", "uniform-sign-symmetry")
ts = jnp.concatenate([jnp.zeros(1), jnp.geomspace(0.1, 100, 61)])
flows, problems = {}, {}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, style in zip(names, ("-", "--", "-.", ":"), strict=True):
    rule = RULES[name]()
    back = jax.random.fold_in(key, 1)
    feedback = draw_feedback(FEEDBACKS["gaussian"](), back, widths, rule.form)
    problems[name] = FlowProblem(rule, network, feedback, task.data)
    observables = {"loss": Loss(), "deltas": DeltaAlignment(rule)}
    flows[name] = integrate(problems[name], ts, observables, Numerics(rtol=1e-8))
    loss = np.asarray(flows[name].records["loss"])
    angle = np.asarray(flows[name].records["deltas"]["degrees"])[:, 0]
    print(f"{name:26} loss {loss[-1]:.2e}, angle {angle[0]:5.1f} -> {angle[-1]:4.1f} degrees")
    left.loglog(ts[1:], loss[1:], style, label=name)
    right.semilogx(ts[1:], angle[1:], style, label=name)
left.set(xlabel="time", ylabel="loss")
right.set(xlabel="time", ylabel="angle to backpropagation (degrees)", ylim=(-5, 95))
left.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "compare_rules.png", dpi=150)
