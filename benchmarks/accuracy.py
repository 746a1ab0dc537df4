"""Global error of the final weights against SciPy, over tolerances.

`python benchmarks/accuracy.py` (in the development environment: `make test` installs it).

Five flows (smooth, factorisation, stiff, softmax with vector output, biased) are written a second
time in numpy (`tests/oracles.py`) and integrated by SciPy DOP853 or Radau at rtol 1e-12. The
table shows ||w - w_ref|| / ||w_ref|| over rtol, which should stay below 100, with accepted and
rejected steps and field evaluations beside it.
"""

import argparse
import csv
import platform
import sys
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from oracles import ACCURACY_FLOWS, final_state, to_problem, trajectory  # noqa: E402

from faflow.flow import Numerics, integrate  # noqa: E402
from faflow.solvers import evaluations_per_step, make_solver  # noqa: E402

RTOLS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)
SOLVERS = {"stiff": ("kvaerno5",)}
DEFAULT_SOLVERS = ("tsit5", "dopri8")
COLUMNS = ("flow", "solver", "rtol", "error", "error_over_rtol", "accepted", "rejected",
           "evaluations", "milliseconds")  # fmt: skip


def measure(flow, reference: np.ndarray, solver: str, rtol: float) -> dict:
    """One row: error, counts, and the median of three timed runs after one that compiles."""
    problem, ts = to_problem(flow), jnp.array([0.0, flow.t1])
    numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        solution = integrate(problem, ts, {}, numerics, throw=False)
        jax.block_until_ready(solution.t_final)
        seconds.append(time.perf_counter() - start)
    error = np.linalg.norm(final_state(solution.weights) - reference) / np.linalg.norm(reference)
    counted = evaluations_per_step(make_solver(solver, rtol, rtol)) is not None
    return {
        "flow": flow.name,
        "solver": solver,
        "rtol": rtol,
        "error": float(error),
        "error_over_rtol": float(error / rtol),
        "accepted": int(solution.counts.accepted),
        "rejected": int(solution.counts.rejected),
        "evaluations": int(solution.counts.evaluations) if counted else "",
        "milliseconds": 1e3 * float(np.median(seconds[1:])),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    out = parser.parse_args().out
    rows = []
    print(f"{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}, float64")
    print(f"{'flow':14}{'solver':10}" + "".join(f"{rtol:>10.0e}" for rtol in RTOLS)
          + "   error / rtol; evaluations at the ends")  # fmt: skip
    for flow in ACCURACY_FLOWS.values():
        reference = trajectory(flow, np.array([0.0, flow.t1]))[-1]
        for solver in SOLVERS.get(flow.name, DEFAULT_SOLVERS):
            block = [measure(flow, reference, solver, rtol) for rtol in RTOLS]
            rows += block
            ratios = "".join(f"{row['error_over_rtol']:>10.3g}" for row in block)
            ends = f"   {block[0]['evaluations'] or '-'} ... {block[-1]['evaluations'] or '-'}"
            print(f"{flow.name:14}{solver:10}{ratios}{ends}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "accuracy.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    worst = max(rows, key=lambda row: row["error_over_rtol"])
    print(f"worst: {worst['error_over_rtol']:.3g} x rtol ({worst['flow']}, {worst['solver']}, "
          f"rtol {worst['rtol']:.0e})")  # fmt: skip
    return 0 if worst["error_over_rtol"] <= 100 else 1


if __name__ == "__main__":
    sys.exit(main())
