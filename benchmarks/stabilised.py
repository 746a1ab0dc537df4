"""Matrix-free solvers against Tsit5 on flows that turn stiff: field evaluations to reach an error
of the final weights, by stabilised explicit Runge-Kutta (rkc2) and by BDF with GMRES (bdf-krylov).

`python benchmarks/stabilised.py` (`--quick`: the small flows alone) writes
results/stabilised.{csv,md}. Products with the Jacobian and power iterations count as evaluations.
The reference is dopri8 at 1e-12 for the small flows, Tsit5 at 1e-8 for the large. Evaluations
to an error are interpolated (log-log) between the tolerances that bracket it; Tsit5 is limited by
stability, so its count hardly depends on the tolerance. Seconds are CPU seconds, compiled.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from flows import DFA, FA, GD, SCALES, digits, student
from goals import TARGETS, fewer
from machine import machine_line
from measuring import RESULTS, against, cost_at, markdown, measure, shown, write_report, write_table
from methods import own

from faflow.flow import FlowProblem

LADDER = {
    "tsit5": (1e-4, 1e-6, 1e-8),
    "rkc2": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    "bdf-krylov": (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9),
}
STEPS = 10**8
COLUMNS = ("flow", "weights", "t1", "solver", "rtol", "error", "seconds", "calls", "evaluations",
           "products", "jacobians", "accepted", "rejected", "why")  # fmt: skip


def plain(rule: str, *widths: int, samples: int, **more) -> Callable[[], FlowProblem]:
    return lambda: student(widths, widths, samples, "tanh", rule=rule, bias=False, **more)


def spread(inputs: int) -> np.ndarray:
    """Scales of inputs, as R10 has them."""
    return np.geomspace(1.0, SCALES[-1], inputs)


def r10(rule: str) -> Callable[[], FlowProblem]:
    return plain(rule, 30, 10, 1, samples=256, scales=SCALES)


# name -> (problem, T, large)
FLOWS = {
    "R10 GD, T=1e4": (r10(GD), 1e4, False),
    "R10 FA, T=1e5": (r10(FA), 1e5, False),
    "deep FA, T=1e4": (plain(FA, 10, 12, 12, 12, 3, samples=64), 1e4, False),
    "deep DFA, T=1e4": (plain(DFA, 10, 12, 12, 12, 3, samples=64), 1e4, False),
    "300-40-1 GD, T=1e4": (plain(GD, 300, 40, 1, samples=100, scales=spread(300)), 1e4, True),
    "300-40-1 FA, T=1e4": (plain(FA, 300, 40, 1, samples=100, scales=spread(300)), 1e4, True),
    "784-256-10 FA, T=1e3": (plain(FA, 784, 256, 10, samples=100, scales=spread(784)), 1e3, True),
    "digits 64-160-10 FA, T=1e3": (lambda: digits(FA, 160, 500), 1e3, True),
}


def rungs(solver: str, t1: float, large: bool) -> tuple[float, ...]:
    """Stability decides what Tsit5 costs: on large and long flows one tolerance tells."""
    if solver == "tsit5" and (large or t1 > 1e4):
        return (1e-6,)
    return tuple(rtol for rtol in LADDER[solver] if rtol > 1e-8 or not large)


def race(name: str) -> list[dict]:
    make, t1, large = FLOWS[name]
    problem, found = make(), []
    reference, counts = own(problem, t1, "tsit5" if large else "dopri8", steps=STEPS)(
        1e-8 if large else 1e-12
    )
    assert reference is not None, counts
    for solver, ladder in LADDER.items():
        run = own(problem, t1, solver, steps=STEPS)
        run(ladder[0], 1e-6)  # compiles
        for rtol in rungs(solver, t1, large):
            row = measure(run, rtol, against(reference), repeats=1 if large else 3)
            calls = (row.get("evaluations") or 0) + (row.get("products") or 0)
            row = {"flow": name, "weights": reference.size, "t1": t1, "solver": solver, **row}
            found.append(row | {"calls": calls})
            shown(found[-1])
    return found


def table(rows: list[dict]) -> list[str]:
    """Evaluations at each target error, and how many times fewer than Tsit5's."""
    head = ["flow", "weights", *(f"{e:.0e}: {' / '.join(LADDER)}" for e in TARGETS)]
    texts = []
    for name in dict.fromkeys(row["flow"] for row in rows):
        mine = [row for row in rows if row["flow"] == name]
        cells = [name, str(mine[0]["weights"])]
        for target in TARGETS:
            parts = []
            for solver in LADDER:
                count = cost_at([r for r in mine if r["solver"] == solver], target, "calls")
                ratio = fewer(mine, solver, target)
                less = "" if ratio is None or solver == "tsit5" else f" (**{ratio:.1f}**)"
                parts.append("-" if count is None else f"{count:.0f}{less}")
            cells.append(" / ".join(parts))
        texts.append(cells)
    return markdown(head, texts)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="the small flows alone")
    parser.add_argument("--only", default="", metavar="TEXT", help="flows whose name holds TEXT")
    options = parser.parse_args()
    names = [name for name, flow in FLOWS.items() if not (options.quick and flow[-1])]
    rows = []
    for name in (name for name in names if options.only in name):
        rows += race(name)
        jax.clear_caches()
    write_table(options.out / "stabilised.csv", rows, COLUMNS)
    lines = ["# Field evaluations to an error of the final weights, matrix-free", ""]
    lines += [machine_line() + ".", ""]
    lines += [
        "Errors are relative, of all weights at T; in parentheses how many times fewer than Tsit5. "
        "Products with the Jacobian and power iterations are counted.",
        "",
    ]
    write_report(options.out / "stabilised.md", [*lines, *table(rows)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
