"""How does the rate of convergence grow with the width?

`python scripts/exponent_over_widths.py [FIGURE]`. Feedback alignment of two-layer linear nets with
fewer samples than features: the residual falls as e^{-rt}. Prints, per width n, the rate fitted to
the flow, the one predicted from the linearised flow at its end, and that of infinite width, where
W_1 stays at W_1(0), here of orthogonal columns: r = n lambda_min(X X^T) / (features samples). So
the slope of log r over log n is near 1.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, Numerics, integrate
from faflow.analysis import fit_exponent, predict_exponent
from faflow.feedback import Feedback
from faflow.networks import MLP
from faflow.observables import Residual
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

rng, rule, observables = np.random.default_rng(1), FeedbackAlignment(), {"residual": Residual()}
samples, features, widths = 4, 12, np.array([16, 64, 256, 1024])
inputs = rng.normal(size=(samples, features))
data = make_data(inputs, rng.normal(size=samples), reduction="mean")
wide = widths * np.linalg.eigvalsh(inputs @ inputs.T)[0] / (features * samples)
rates, predicted = np.zeros((2, len(widths)))
print("width     fitted  predicted  infinite width")
for i, width in enumerate(widths):
    columns = np.linalg.qr(rng.normal(size=(width, features)))[0]
    network = MLP((jnp.asarray((width / features) ** 0.5 * columns), jnp.zeros((1, width))))
    feedback = Feedback((jnp.asarray(rng.normal(size=(1, width)) / width**0.5),), rule.form)
    problem, ts = FlowProblem(rule, network, feedback, data), jnp.linspace(0, 15 / wide[i], 151)
    flow = integrate(problem, ts, observables, Numerics(rtol=1e-9, tail=True))
    rates[i] = fit_exponent(ts, flow.records["residual"]).rate
    predicted[i] = predict_exponent(rule, flow.weights, feedback, data).rate
    print(f"{width:5} {rates[i]:10.5f} {predicted[i]:10.5f} {wide[i]:10.5f}")
slope = np.polyfit(np.log(widths), np.log(rates), 1)[0]
print(f"slope {slope:.2f}")

figure, axes = plt.subplots(layout="constrained")
axes.loglog(widths, rates, "o", label="fitted")
axes.loglog(widths, predicted, "+k", markersize=12, label="predicted from the end")
axes.loglog(widths, wide, "k--", linewidth=1, label="infinite width")
axes.set(xlabel="width n", ylabel="rate r")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "exponent_over_widths.png", dpi=150)
