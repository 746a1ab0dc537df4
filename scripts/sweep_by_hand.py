"""How do two layers share what they learn, as the feedback grows?

`python scripts/sweep_by_hand.py [FIGURE]`. A sweep over arrays of one's own: one vmap over 2 x 9
flows. From zero weights, feedback f of a two-layer linear net makes W_1 = f a^T and w_2 = c f; the
law 1/2 ||W_1||^2 - <w_2, f> = 0 and the end w_2 W_1 = m, the map to be learnt, then say that
||W_1|| = (2 |m| |f|)^{1/3} and |w_2| = |m| / ||W_1||. Prints the largest relative distance to
that, from zero weights and from small random ones, for which it is no more than near.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from faflow import FlowProblem, Numerics, integrate
from faflow.feedback import Feedback
from faflow.networks import MLP
from faflow.observables import Norms
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

rng, rule = np.random.default_rng(0), FeedbackAlignment()
inputs, slopes, direction = (rng.normal(size=shape) for shape in ((20, 5), 5, (1, 7)))
data = make_data(inputs, inputs @ slopes, reduction="mean")
scales, sizes = np.geomspace(0.25, 4, 9), np.array([0.0, 0.1])  # |f|, and of W(0)
feedbacks = jnp.asarray(scales[:, None, None] * direction / np.linalg.norm(direction))
firsts, seconds = (jnp.asarray(sizes[:, None, None] * rng.normal(size=s)) for s in ((7, 5), (1, 7)))


def norms_at_the_end(feedback, first, second):
    problem = FlowProblem(rule, MLP((first, second)), Feedback((feedback,), rule.form), data)
    flow = integrate(problem, np.array([0.0, 200.0]), {"norms": Norms()}, Numerics(), throw=False)
    return flow.records["norms"][-1]


over_scales = jax.vmap(norms_at_the_end, in_axes=(0, None, None))
norms = jax.jit(jax.vmap(over_scales, in_axes=(None, 0, 0)))(feedbacks, firsts, seconds)
first_norms = (2 * np.linalg.norm(slopes) * scales) ** (1 / 3)
theory = np.stack([first_norms, np.linalg.norm(slopes) / first_norms], axis=1)
apart = np.abs(np.asarray(norms) / theory - 1).max(axis=(1, 2))
for size, far in zip(sizes, apart, strict=True):
    print(f"weights of size {size:g}: at most {far:.1e} from theory")

figure, axes = plt.subplots(layout="constrained")
for layer, name in enumerate(("‖W₁‖", "‖w₂‖")):
    axes.loglog(scales, theory[:, layer], color=f"C{layer}", label=f"{name}, theory", base=2)
    for size, mark, flows in zip(sizes, "o+", norms, strict=True):
        axes.plot(scales, flows[:, layer], mark, color=f"C{layer}", label=f"{name}, from {size:g}")
axes.set(xlabel="size of the feedback ‖f‖", ylabel="norm at the end")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "sweep_by_hand.png", dpi=150)
