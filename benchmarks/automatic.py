"""`solver = "auto"` against fixed solvers: its cost over that of the best, and when it changes.

`python benchmarks/automatic.py` in the development environment. Every solver runs every flow at
three tolerances (atol = rtol / 100): field evaluations and products with the Jacobian, CPU seconds
of a compiled run (the least of many, turn by turn), wall seconds of the first call, compiling
included, error of the final weights against dopri8 at 1e-12. Writes results/automatic.{csv,md}.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flows import FA, SCALES, digits, student
from goals import SLACK
from machine import machine_line
from measuring import (
    REPEATED,
    RESULTS,
    Run,
    against,
    markdown,
    row_of,
    shown,
    write_report,
    write_table,
)
from methods import own

from faflow.flow import FlowProblem
from faflow.measures.experiment import build
from faflow.runs.run import resolve_path

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
RTOLS = (1e-4, 1e-6, 1e-9)
REPEATS = 30  # at most: of flows of a few milliseconds, whose least of three says little
SOLVERS = ("auto", "tsit5", "dopri8", "adams", "bdf")
COLUMNS = ("flow", "rtol", "solver", "error", "evaluations", "products", "jacobians", "accepted",
           "rejected", "seconds", "first", "ratio", "legs", "why")  # fmt: skip

DIGITS = {
    "name": "digits",
    "network": {"widths": [64, 16, 10], "activation": "tanh", "bias": True},
    "task": {"kind": "digits", "samples": 200, "target": "one-hot", "loss": "cross-entropy",
             "reduction": "mean"},
    "rule": {"kind": "feedback-alignment"},
    "flow": {"t1": 1000.0},
}  # fmt: skip


def configured(config) -> Callable[[], FlowProblem]:
    return lambda: build(resolve_path(config)).problem


FLOWS: dict[str, tuple[Callable[[], FlowProblem], float]] = {
    "theorem2": (configured(CONFIGS / "theorem2_gaussian.toml"), 30.0),
    "factorisation": (configured(CONFIGS / "garg_vempala_low_rank.toml"), 30.0),
    "teacher tanh 5-10-1": (lambda: student((5, 10, 1), (5, 10, 1), 256, "tanh"), 1e4),
    "R6 softplus 2-8-1": (lambda: student((2, 8, 1), (2, 4, 1), 10_000, "softplus"), 100.0),
    "R10 tanh 30-10-1": (
        lambda: student((30, 10, 1), (30, 10, 1), 100, "tanh", scales=SCALES), 1e4,
    ),
    "digits softmax 64-16-10": (configured(DIGITS), 1000.0),
    "R15 digits softmax 64-100-10": (digits, 100.0),
    "digits 64-160-10 FA": (lambda: digits(FA, 160, 500), 1000.0),
}  # fmt: skip


def race(name: str) -> list[dict]:
    make, t1 = FLOWS[name]
    problem = make()
    reference, counts = own(problem, t1, "dopri8")(1e-12)
    assert reference is not None, counts
    judge, rows = against(reference), []
    runs = {solver: own(problem, t1, solver) for solver in SOLVERS}
    for rtol in RTOLS:
        first = {}
        for solver, run in runs.items():
            start = time.perf_counter()
            run(rtol)
            first[solver] = time.perf_counter() - start
        found = [
            {"flow": name, "solver": solver, "first": first[solver], **row_of(rtol, *took, judge)}
            for solver, took in in_turns(runs, rtol).items()
        ]
        good = [row["seconds"] for row in found
                if row["solver"] != "auto" and row["error"] is not None]  # fmt: skip
        rows += [row | {"ratio": row["seconds"] / min(good, default=np.nan)} for row in found]
        for row in rows[-len(found) :]:
            shown(row)
    return rows


def in_turns(runs: dict[str, Run], rtol: float) -> dict[str, tuple[Any, float, dict]]:
    """Of each: (final weights, CPU seconds, counts), the least seconds of up to REPEATS runs. They
    take turns, so that all of them meet the machine in the same moods."""
    seconds: dict[str, list[float]] = {solver: [] for solver in runs}
    ends = {}
    while waiting := [s for s, t in seconds.items() if len(t) < REPEATS and sum(t) < REPEATED]:
        for solver in waiting:
            start = time.process_time()
            ends[solver] = runs[solver](rtol)
            seconds[solver].append(time.process_time() - start)
    return {s: (state, min(seconds[s]), counts) for s, (state, counts) in ends.items()}


def report(rows: list[dict]) -> list[str]:
    slow = [
        f"{row['flow']} at {row['rtol']:g} ({row['ratio']:.2g} times)"
        for row in rows
        if row["solver"] == "auto" and not row["ratio"] <= SLACK
    ]
    lines = ["# auto against fixed solvers", "", machine_line() + ".", ""]
    lines += [f"Beyond {SLACK} times the best fixed choice: {', '.join(slow) or 'nowhere'}.", ""]
    lines += [
        f"`seconds`: CPU, compiled, the least of up to {REPEATS}, turn by turn; `ratio`: over the "
        "fastest fixed solver; `first`: wall seconds of the first call, compiling included (the "
        "second tolerance finds the programs of the first).",
    ]  # fmt: skip
    columns = [c for c in COLUMNS if c != "flow"]
    for name in dict.fromkeys(row["flow"] for row in rows):
        mine = [row for row in rows if row["flow"] == name]
        texts = [[cell(row.get(column)) for column in columns] for row in mine]
        lines += ["", f"## {name}, t = {FLOWS[name][1]:g}", "", *markdown(columns, texts)]
    return lines


def cell(value) -> str:
    if value in (None, ""):
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", default="", help="flows whose names contain this")
    options = parser.parse_args()
    rows = []
    for name in (name for name in FLOWS if options.only in name):
        rows += race(name)
        jax.clear_caches()
    write_table(options.out / "automatic.csv", rows, COLUMNS)
    write_report(options.out / "automatic.md", report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
