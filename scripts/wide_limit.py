"""How wide is wide enough?

`python scripts/wide_limit.py [FIGURE]`. Deep linear nets under feedback alignment in the mean-field
scaling, beside their limit of infinite width, which is a flow of D numbers. Prints, per width N,
the relative square error of the outputs over time, mean over seeds, and that times N, which tends
to a constant.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, integrate
from faflow.feedback import FEEDBACKS, Feedback, draw_feedback
from faflow.networks import ACTIVATIONS, INITIALISATIONS, initial_network
from faflow.rules import FeedbackAlignment, MeanFieldRates
from faflow.tasks import make_data
from faflow.wide import OutputsAt, WideFeedbackAlignment, deep_linear

jax.config.update("jax_enable_x64", True)

rng, hidden, rho, richness, seeds = np.random.default_rng(1), 2, 0.3, 2.0, 6
inputs, ts, widths = rng.normal(size=(3, 6)), np.linspace(0, 3, 31), [8, 32, 128]
data, limit = make_data(inputs, np.array([1.0, -0.5, 0.7])), deep_linear(hidden, rho, richness)
see = {"f": OutputsAt(data.inputs)}
problem = FlowProblem(WideFeedbackAlignment(limit), limit.start(6), Feedback(), data)
wide = integrate(problem, ts, see).records["f"]

figure, panels = plt.subplots(1, 3, sharey=True, figsize=(9, 3), layout="constrained")
rule, init = FeedbackAlignment(), INITIALISATIONS["mean-field"](richness)
draw, errors = FEEDBACKS["mean-field"](rho, richness), []
for width, axes in zip(widths, panels, strict=True):
    sizes, square = (6, *(width,) * hidden, 1), []
    for seed in range(seeds):
        keys = jax.random.split(jax.random.key(seed))
        net = initial_network(init, keys[0], sizes, ACTIVATIONS["linear"]())
        back = draw_feedback(draw, keys[1], sizes, rule.form, net)
        flow = integrate(FlowProblem(MeanFieldRates(rule, richness), net, back, data), ts, see)
        square.append(jnp.sum((flow.records["f"] - wide) ** 2) / jnp.sum(wide**2))
        axes.plot(ts, flow.records["f"], color="0.7", linewidth=0.8)
    errors.append(float(np.mean(square)))
    print(f"N = {width:4}: square error {errors[-1]:.4f}, times N {width * errors[-1]:.2f}")
    axes.plot(ts, wide, "k--", linewidth=1)
    axes.set(xlabel="time", title=f"N = {width}")
panels[0].set_ylabel("outputs (dashed: infinite width)")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "wide_limit.png", dpi=150)
