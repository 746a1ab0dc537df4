"""What the rule's kernel saves as a preconditioner: products with the Jacobian, and CPU seconds.

`python benchmarks/preconditioner.py` (development environment, minutes) writes
results/preconditioner.{csv,md}: the stiff flows on which `bdf` uses it (two tanh networks under
feedback alignment to t = 2000, and those of stabilised.py), by `bdf-krylov`, with and without it,
seconds the least of `RUNS`.
"""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
from machine import machine_line
from measuring import RESULTS, markdown, shown, write_report, write_table
from stabilised import FLOWS

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.flow.loop import ways
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

WIDTHS = {"50-1000-1 FA": (50, 1000, 1), "20-200-200-1 FA": (20, 200, 200, 1)}
SAMPLES = {"50-1000-1 FA": 40, "20-200-200-1 FA": 60}
RTOLS = (1e-4, 1e-6)
RUNS = 3
GOAL = 4.0  # products per system with the kernel
COLUMNS = ("flow", "weights", "outputs", "t1", "rtol", "kernel", "steps", "systems", "products",
           "per_system", "inverses", "seconds")  # fmt: skip


def problem(widths: tuple[int, ...], samples: int) -> FlowProblem:
    rng = np.random.default_rng(0)
    pairs = list(itertools.pairwise(widths))
    weights = tuple(jnp.asarray(rng.normal(size=(o, i)) / i**0.5) for i, o in pairs)
    back = tuple(jnp.asarray(rng.normal(size=w.shape) / w.shape[1] ** 0.5) for w in weights[1:])
    x, y = rng.normal(size=(samples, widths[0])), rng.normal(size=(samples, widths[-1]))
    data = make_data(x, y, "squared", "mean")
    net = MLP(weights, (), ACTIVATIONS["tanh"]())
    return FlowProblem(FeedbackAlignment(), net, Feedback(back, "layerwise"), data)


def cases() -> dict[str, tuple[FlowProblem, float]]:
    own = {name: (problem(sizes, SAMPLES[name]), 2000.0) for name, sizes in WIDTHS.items()}
    shared = {name: (make(), t1) for name, (make, t1, _) in FLOWS.items()}
    return own | {
        name: (one, t1) for name, (one, t1) in shared.items() if ways.has_preconditioner(one)
    }


def compared(name: str, one: FlowProblem, t1: float, rtol: float) -> list[dict]:
    """A row with the kernel and one without it."""
    known, ts = ways.has_preconditioner, jnp.asarray([0.0, t1])
    kept, ways.directions_of = ways.directions_of, lambda one, size: 0
    numerics = Numerics(solver="bdf-krylov", rtol=rtol, atol=rtol / 100)
    least, work = {}, {}
    for kernel in ("with", "without"):
        ways.has_preconditioner = known if kernel == "with" else lambda one: False
        jax.clear_caches()  # the programs know nothing of this
        work[kernel] = integrate(one, ts, {}, numerics).counts
        least[kernel] = np.inf
        for _ in range(RUNS):
            begun = time.process_time()
            jax.block_until_ready(integrate(one, ts, {}, numerics).weights)
            least[kernel] = min(least[kernel], time.process_time() - begun)
    ways.has_preconditioner, ways.directions_of = known, kept
    size = sum(leaf.size for leaf in jax.tree.leaves(one.weights))
    rows = []
    for kernel, counts in work.items():
        systems, products = int(counts.implicit.iterations), int(counts.implicit.products)
        rows.append({
            "flow": name, "weights": size, "outputs": one.data.targets.size, "t1": t1, "rtol": rtol,
            "kernel": kernel, "steps": int(counts.accepted), "systems": systems,
            "products": products, "per_system": round(products / systems, 2),
            "inverses": int(counts.implicit.factorisations), "seconds": least[kernel],
        })  # fmt: skip
        shown(rows[-1])
    return rows


def page(rows: list[dict]) -> list[str]:
    most = max(row["per_system"] for row in rows if row["kernel"] == "with")
    verdict = "met" if most <= GOAL else "MISSED"
    head = ("flow", "weights", "samples times outputs", "rtol", "kernel", "steps", "systems",
            "products", "per system", "inverses", "CPU s")  # fmt: skip
    cells = [
        (row["flow"], str(row["weights"]), str(row["outputs"]), f"{row['rtol']:g}", row["kernel"],
         *(str(row[key]) for key in ("steps", "systems", "products", "per_system", "inverses")),
         f"{row['seconds']:.3g}") for row in rows
    ]  # fmt: skip
    lines = [
        "# The rule's kernel as preconditioner",
        "",
        machine_line() + ".",
        "",
        "`bdf-krylov` on the stiff flows on which the kernel is used, with and without it.",
        "",
        f"Most products per system with it: {most:g}; goal at most {GOAL:g}: {verdict}.",
        "",
    ]
    return [*lines, *markdown(head, cells)]


def main() -> None:
    rows = []
    for name, (one, t1) in cases().items():
        for rtol in RTOLS:
            rows += compared(name, one, t1, rtol)
        jax.clear_caches()
    write_table(RESULTS / "preconditioner.csv", rows, COLUMNS)
    write_report(RESULTS / "preconditioner.md", page(rows))


if __name__ == "__main__":
    main()
