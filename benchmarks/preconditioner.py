"""What the rule's kernel saves as a preconditioner: products with the Jacobian, and CPU seconds.

`python benchmarks/preconditioner.py` (development environment, minutes; with OMP_NUM_THREADS=1 and
XLA_FLAGS=--xla_cpu_multi_thread_eigen=false for CPU seconds of one core). Tanh networks under
feedback alignment, `bdf-krylov` to t = 2000, with and without it, seven runs of each.
"""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, solve
from faflow.flow.loop import multistep
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

CASES = {"50-1000-1": (50, 1000, 1), "20-200-200-1": (20, 200, 200, 1), "30-10-1": (30, 10, 1)}
SAMPLES = {"50-1000-1": 40, "20-200-200-1": 60, "30-10-1": 20}
RUNS = 7


def problem(widths: tuple[int, ...], samples: int) -> FlowProblem:
    rng = np.random.default_rng(0)
    pairs = list(itertools.pairwise(widths))
    weights = tuple(jnp.asarray(rng.normal(size=(o, i)) / i**0.5) for i, o in pairs)
    back = tuple(jnp.asarray(rng.normal(size=w.shape) / w.shape[1] ** 0.5) for w in weights[1:])
    x, y = rng.normal(size=(samples, widths[0])), rng.normal(size=(samples, widths[-1]))
    data = make_data(x, y, "squared", "mean")
    net = MLP(weights, (), ACTIVATIONS["tanh"]())
    return FlowProblem(FeedbackAlignment(), net, Feedback(back, "layerwise"), data)


def main() -> None:
    known = multistep.has_preconditioner
    for name, widths in CASES.items():
        one = problem(widths, SAMPLES[name])
        for rtol in (1e-4, 1e-6):
            numerics = Numerics(solver="bdf-krylov", rtol=rtol, atol=rtol / 100)
            for used in (True, False):
                multistep.has_preconditioner = known if used else lambda one: False
                flow = jax.jit(lambda ts: solve(one, ts, {}, numerics))  # noqa: B023
                ts, spent = jnp.asarray([0.0, 2000.0]), []
                work = jax.block_until_ready(flow(ts)).counts.implicit
                for _ in range(RUNS):
                    begun = time.process_time()
                    jax.block_until_ready(flow(ts))
                    spent.append(time.process_time() - begun)
                word = "with" if used and known(one) else "without"
                print(f"{name} {rtol:g} {word}: {int(work.iterations)} systems, "
                      f"{int(work.products)} products, {int(work.factorisations)} inverses, "
                      f"{min(spent):.2f} CPU s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
