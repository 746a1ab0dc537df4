"""How fast does feedback alignment converge at infinite width?

`python scripts/wide_rates.py [FIGURE]`. Deep linear nets, rho-aligned feedback and the mean-field
scaling: the residual falls as e^{-rt}. Draws r over the richness, for three depths and alignments,
as predicted from where the flow ends, and prints it beside the slope fitted to the flow itself.
Lazy networks have r = sum_l rho^l times the least eigenvalue of K^x; dashed is the floor,
kappa_{L+1} at the end times that.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, Numerics, integrate
from faflow.analysis import fit_exponent
from faflow.feedback import Feedback
from faflow.observables import Residual
from faflow.tasks import make_data
from faflow.wide import WideFeedbackAlignment, deep_linear, wide_limit

jax.config.update("jax_enable_x64", True)

rng, depths, rhos = np.random.default_rng(3), (1, 2, 3), (0.0, 0.5, 1.0)
inputs, targets = rng.normal(size=(3, 6)), np.array([1.0, -0.7, 0.5])
data, least = make_data(inputs, targets), np.linalg.eigvalsh(inputs @ inputs.T / 6)[0]
richness, points = np.logspace(-1.5, 1.5, 31), np.array([0.1, 1.0, 10.0])


@jax.jit
def end(rho, gamma):
    ends = [wide_limit(deep_linear(l, rho, gamma), data.inputs, data.targets[:, 0]) for l in depths]
    return jnp.stack([e.rates[0] for e in ends]), jnp.stack([e.kappa for e in ends]) * least


figure, panels = plt.subplots(1, 3, sharey=True, figsize=(9, 3), layout="constrained")
rates, floors = np.moveaxis([[end(rho, g) for g in richness] for rho in rhos], 2, 0)
fitted, told = np.zeros((2, len(depths), len(points)))
print("L  gamma_0     fitted  predicted   (rho = 0.5)")
for i, (hidden, axes) in enumerate(zip(depths, panels, strict=True)):
    for j, rho in enumerate(rhos):
        axes.loglog(richness, rates[j, :, i], color=f"C{j}", label=f"rho = {rho:g}")
        axes.loglog(richness, floors[j, :, i], "--", color=f"C{j}", linewidth=0.8)
    for k, gamma in enumerate(points):
        told[i, k], limit = end(0.5, gamma)[0][i], deep_linear(hidden, 0.5, gamma)
        problem = FlowProblem(WideFeedbackAlignment(limit), limit.start(6), Feedback(), data)
        ts = jnp.linspace(0, 15 / told[i, k], 151)
        flow = integrate(problem, ts, {"r": Residual()}, Numerics(rtol=1e-10, tail=True))
        fitted[i, k] = fit_exponent(ts, flow.records["r"]).rate
        print(f"{hidden}  {gamma:7.1f} {fitted[i, k]:10.5f} {told[i, k]:10.5f}")
    axes.loglog(points, fitted[i], "ko", markerfacecolor="none", label="fitted to flows")
    axes.set(xlabel="richness", title=f"L = {hidden}")
panels[0].set_ylabel("rate r (dashed: its floor)")
panels[0].legend(frameon=False, fontsize=8)
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "wide_rates.png", dpi=150)
