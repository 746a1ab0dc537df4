"""How far from its flow is a rule as it is run in practice, in steps of eta?

`python scripts/discrete_beside_flow.py [FIGURE]`. Feedback alignment of a small linear net. Prints,
per eta, the relative distance of the weights to the flow's, and how far the law of Theorem 1, which
the flow keeps, has risen: both in proportion to eta (slope 1). A step raises the law by exactly
1/2 eta^2 ||dW_1/dt||^2, whose sum stands beside what was measured.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, Numerics, integrate
from faflow.feedback import Feedback
from faflow.flow import Discrete, run_twin
from faflow.networks import MLP
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

rng, rule = np.random.default_rng(0), FeedbackAlignment()
inputs = rng.normal(size=(20, 5))
data = make_data(inputs, inputs @ rng.normal(size=5), reduction="mean")
first, second, back = (jnp.asarray(0.4 * rng.normal(size=s)) for s in ((6, 5), (1, 6), (1, 6)))
problem = FlowProblem(rule, MLP((first, second)), Feedback((back,), rule.form), data)
laws = {"law": rule.laws(problem.weights)["layer-balance"]}
ts, etas, key = jnp.array([0.0, 5.0]), np.array([0.1, 0.05, 0.02, 0.01, 0.005]), jax.random.key(0)
flow = integrate(problem, ts, {}, Numerics(rtol=1e-12, atol=1e-14))

distances, rises, sums = [], [], []
for eta in etas:
    twin = eqx.filter_jit(run_twin)(problem, ts, {}, laws, Discrete(eta, key))
    gaps = jax.tree.map(jnp.subtract, twin.weights, flow.weights).weights
    sizes = [sum(float(jnp.sum(w**2)) ** 0.5 for w in ws) for ws in (gaps, flow.weights.weights)]
    distances.append(sizes[0] / sizes[1])
    rises.append(float(twin.laws["law"][-1, 0] - twin.laws["law"][0, 0]))
    sums.append(float(twin.predicted["law"][-1, 0] - twin.predicted["law"][0, 0]))
    print(f"eta {eta:5g}: distance {distances[-1]:.2e}, law + {rises[-1]:.4e}, sum {sums[-1]:.4e}")
slopes = [np.polyfit(np.log(etas), np.log(values), 1)[0] for values in (distances, rises)]
print(f"slopes {slopes[0]:.2f} and {slopes[1]:.2f}")

figure, axes = plt.subplots(layout="constrained")
axes.loglog(etas, distances, "o-", label="distance of the weights to the flow's")
axes.loglog(etas, rises, "s-", label="rise of the law")
axes.loglog(etas, sums, "+k", markersize=12, label="½ η² ‖dW₁/dt‖², summed")
axes.set(xlabel="step η", title="Feedback alignment in steps of η, to t = 5")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "discrete_beside_flow.png", dpi=150)
