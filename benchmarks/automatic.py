"""`solver = "auto"` against fixed solvers: its cost over that of the best, and when it changes.

`python benchmarks/automatic.py` in the development environment. Every solver runs every flow at
two tolerances (atol = rtol / 100) in float64 and one process: field evaluations (and products with
the Jacobian), CPU seconds of a compiled run (least of three), wall seconds of the first call with
compiling, error of the final weights against dopri8 at 1e-12. Writes results/automatic.csv and
automatic.md.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from relu_methods import machine_line  # noqa: E402
from stiff import SCALES, student  # noqa: E402

from faflow.experiments.build import build  # noqa: E402
from faflow.experiments.run import resolve_path  # noqa: E402
from faflow.flow import FlowProblem, Numerics, integrate  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 3
RTOLS = (1e-6, 1e-9)
SOLVERS = ("auto", "tsit5", "dopri8", "bdf", "kvaerno5")
SLACK = 1.5  # how much slower than the best fixed choice auto may be
COLUMNS = ("flow", "rtol", "solver", "status", "evaluations", "products", "steps", "seconds",
           "first", "error", "ratio", "legs")  # fmt: skip

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
    "theorem2": (configured(ROOT / "configs" / "theorem2_gaussian.toml"), 30.0),
    "factorisation": (configured(ROOT / "configs" / "garg_vempala_low_rank.toml"), 30.0),
    "teacher tanh 5-10-1": (lambda: student((5, 10, 1), (5, 10, 1), 256, "tanh"), 1e4),
    "R6 softplus 2-8-1": (lambda: student((2, 8, 1), (2, 4, 1), 10_000, "softplus"), 100.0),
    "R10 tanh 30-10-1": (
        lambda: student((30, 10, 1), (30, 10, 1), 100, "tanh", scales=SCALES), 1e4,
    ),
    "digits softmax 64-16-10": (configured(DIGITS), 1000.0),
}  # fmt: skip


def measure(problem: FlowProblem, t1: float, rtol: float, solver: str, reference, repeats: int):
    numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100, max_steps=1_000_000)
    ts = jnp.array([0.0, t1])

    def run():
        solution = integrate(problem, ts, {}, numerics, throw=False)
        return jax.block_until_ready(solution)

    start = time.perf_counter()
    solution = run()
    first, least = time.perf_counter() - start, np.inf
    for _ in range(repeats):
        start = time.process_time()
        run()
        least = min(least, time.process_time() - start)
    state, counts = flat(solution.weights), solution.counts
    implicit = counts.implicit
    return {
        "solver": solver,
        "status": "ok" if int(solution.outcome) == 0 else f"outcome {int(solution.outcome)}",
        "evaluations": int(counts.evaluations) or None,
        "products": None if implicit is None else int(implicit.products),
        "steps": int(counts.accepted + counts.rejected),
        "seconds": least,
        "first": first,
        "error": float(np.linalg.norm(state - reference) / np.linalg.norm(reference)),
        "legs": "; ".join(f"{leg.solver} from {float(leg.since):.3g}" for leg in solution.legs),
    }


def flat(weights) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(weights)])


def race(name: str, solvers, rtols, repeats: int) -> list[dict]:
    make, t1 = FLOWS[name]
    problem = make()
    numerics = Numerics(solver="dopri8", rtol=1e-12, atol=1e-14, max_steps=5_000_000)
    reference = flat(integrate(problem, jnp.array([0.0, t1]), {}, numerics).weights)
    rows = []
    for rtol in rtols:
        found = [measure(problem, t1, rtol, s, reference, repeats) for s in solvers]
        best = min((r["seconds"] for r in found if r["solver"] != "auto" and r["status"] == "ok"),
                   default=np.nan)  # fmt: skip
        for row in found:
            rows.append({"flow": name, "rtol": rtol, **row, "ratio": row["seconds"] / best})
            print("  ".join(f"{k}={shown(v)}" for k, v in rows[-1].items()), flush=True)
    return rows


def shown(value) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def lost(row: dict) -> float:
    return row["seconds"] * (1 - 1 / row["ratio"])


def report(rows: list[dict]) -> str:
    autos = [row for row in rows if row["solver"] == "auto"]
    beyond = [
        f"{r['flow']} at {r['rtol']:g} ({r['ratio']:.2g} times, {lost(r):.2g} s)"
        for r in autos
        if not r["ratio"] <= SLACK
    ]
    verdict = f"Beyond {SLACK} times the best fixed choice: {', '.join(beyond) or 'nowhere'}."
    lines = ["# auto against fixed solvers", "", machine_line() + ".", "", verdict, ""]
    lines += [
        "`seconds`: CPU, compiled, least of the repeats; `ratio`: over the fastest fixed solver; "
        "`first`: wall seconds of the first call, compiling included (the second tolerance finds "
        "the programs of the first).",
        "",
    ]
    columns = [c for c in COLUMNS if c != "flow"]
    for name in dict.fromkeys(row["flow"] for row in rows):
        lines += [f"## {name}, t = {FLOWS[name][1]:g}", "", "| " + " | ".join(columns) + " |",
                  "|---" * len(columns) + "|"]  # fmt: skip
        for row in (row for row in rows if row["flow"] == name):
            lines.append("| " + " | ".join(shown(row[c]) for c in columns) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--only", default="", help="flows whose names contain this")
    parser.add_argument("--solvers", nargs="*", default=SOLVERS)
    parser.add_argument("--rtols", nargs="*", type=float, default=RTOLS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    rows = []
    for name in (name for name in FLOWS if options.only in name):
        rows += race(name, options.solvers, options.rtols, options.repeats)
        jax.clear_caches()
    text = report(rows)
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "automatic.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    (options.out / "automatic.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
