"""How well does a solver keep a law, and does a smaller tolerance help?

`python scripts/law_drift.py [FIGURE]`. The layer balance of feedback alignment on a deep linear
net, by three solvers over tolerances: prints its relative drift, and the slope of log drift over
log rtol. tsit5 and dopri8 drift as they err, in proportion to rtol (slope near 1); Gauss methods
keep every quadratic law to rounding at any tolerance (Cooper 1987).
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, Numerics, integrate
from faflow.feedback import Feedback
from faflow.networks import MLP
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

rng = np.random.default_rng(0)
shapes = [(8, 6), (8, 8), (1, 8)]
weights = [rng.normal(size=s) / s[1] ** 0.5 for s in shapes]
feedback = [rng.normal(size=s) / s[1] ** 0.5 for s in shapes[1:]]
inputs = rng.normal(size=(20, 6))
data = make_data(inputs, inputs @ rng.normal(size=6), reduction="mean")
rule, network = FeedbackAlignment(), MLP(tuple(map(jnp.asarray, weights)))
problem = FlowProblem(rule, network, Feedback(tuple(map(jnp.asarray, feedback)), rule.form), data)
law = rule.laws(network)["layer-balance"]
scale = law.scale(network, problem.feedback, data)

tolerances, drifts, slopes = np.geomspace(1e-4, 1e-10, 7), {}, {}
figure, axes = plt.subplots(layout="constrained")
for solver, marker in {"tsit5": "o", "dopri8": "s", "gauss4": "^"}.items():
    drifts[solver] = []
    for rtol in tolerances:
        numerics = Numerics(solver, rtol=rtol, atol=rtol / 100)
        values = integrate(problem, jnp.linspace(0, 10, 21), {"law": law}, numerics).records["law"]
        drifts[solver].append(float(jnp.max(jnp.abs(values - values[:1]) / scale[None, :])))
    slopes[solver] = np.polyfit(np.log(tolerances), np.log(drifts[solver]), 1)[0]
    print(f"{solver:7} slope {slopes[solver]:5.2f}", *(f"{drift:.0e}" for drift in drifts[solver]))
    axes.loglog(tolerances, drifts[solver], marker=marker, label=solver)
axes.loglog(tolerances, tolerances, "k--", linewidth=1, label="rtol")
axes.set(xlabel="rtol", ylabel="relative drift of the layer balance")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "law_drift.png", dpi=150)
