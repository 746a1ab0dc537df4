"""Where does feedback alignment of a linear net end, on data of one's own?

`python scripts/own_data.py [FIGURE]`. With fewer samples than features many maps fit. Prints how
far the end is from the one of least norm, numpy's X^+ y (Robertson & Koyejo 2023, Theorem 2): it
is reached where the rows of W_1(0) lie in the span of the data. Where they do not, the part
outside never moves, and the end is X^+ y + W_1(0) (1 - X^+ X) read out by w_2.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, Numerics, integrate
from faflow.feedback import Feedback
from faflow.networks import MLP
from faflow.observables import MapDistance
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

rng, rule = np.random.default_rng(3), FeedbackAlignment()
inputs, targets = rng.normal(size=(8, 12)), rng.normal(size=8)  # or np.load(...)
data = make_data(inputs, targets, reduction="mean")
least = np.linalg.pinv(inputs) @ targets
outside = np.eye(12) - np.linalg.pinv(inputs) @ inputs
feedback = Feedback((jnp.asarray(rng.normal(size=(1, 10))),), rule.form)
anywhere, readout = 0.5 * rng.normal(size=(10, 12)), 0.5 * rng.normal(size=(1, 10))
starts = {"in the span": anywhere - anywhere @ outside, "anywhere": anywhere}

ts, from_least, from_predicted = jnp.linspace(0, 120, 101), {}, {}
figure, axes = plt.subplots(layout="constrained")
for (name, first), style in zip(starts.items(), ("-", "--"), strict=True):
    problem = FlowProblem(rule, MLP((jnp.asarray(first), jnp.asarray(readout))), feedback, data)
    observables = {"distance": MapDistance(jnp.asarray(least[None, :]))}
    flow = integrate(problem, ts, observables, Numerics(rtol=1e-10, atol=1e-13))
    first_end, readout_end = map(np.asarray, flow.weights.weights)
    reached, predicted = readout_end @ first_end, least + readout_end @ first @ outside
    from_least[name] = np.linalg.norm(reached - least) / np.linalg.norm(least)
    from_predicted[name] = np.linalg.norm(reached - predicted) / np.linalg.norm(least)
    print(f"W_1(0) {name}: {from_least[name]:.1e} from least norm,"
          f" {from_predicted[name]:.1e} from the prediction")  # fmt: skip
    axes.semilogy(ts, flow.records["distance"], style, label=f"rows of W_1(0) {name}")
axes.set(xlabel="time", ylabel="relative distance to the map of least norm")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "own_data.png", dpi=150)
