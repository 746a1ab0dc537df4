"""Laws to rounding, and their price: adaptive Gauss-Legendre against Tsit5 at equal weight error.

`python benchmarks/law_keeping.py` (development environment; four minutes).

Four flows of feedback alignment are written in numpy (`tests/oracles.py`) and integrated by
SciPy's DOP853 at rtol 2.3e-14 for a reference; sizes and seeds are in `flows`. Every solver runs at
many tolerances: relative error of the final weights, field evaluations, CPU seconds (least of up to
five), largest relative drift of the neuron balances. The price at an error is interpolated between
runs. Writes results/law_keeping.{csv,md}.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from goals import ERRORS, GAUSS, gauss_ratio
from machine import machine_line
from measuring import RESULTS, cost_at, measure, relative_error, shown, write_report, write_table
from methods import own

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from oracles import (
    ACTIVATIONS,
    Flow,
    neuron_balance,
    random_flow,
    to_problem,
    trajectory,
)

GRIDS = {"tsit5": np.geomspace(1e-2, 1e-13, 12)}
GRIDS |= {solver: np.geomspace(1e-2, 1e-12, 11) for solver in GAUSS}
COLUMNS = ("flow", "solver", "rtol", "error", "drift", "seconds", "evaluations", "accepted",
           "rejected", "why")  # fmt: skip


def flows() -> dict[str, Flow]:
    rng = np.random.default_rng(0)
    linear = {"activation": "linear"}
    factors = random_flow(3, (50, 5, 50), samples=50, t1=20.0, **linear)
    target = rng.standard_normal((50, 5)) @ rng.standard_normal((5, 50)) / 250**0.5
    small = tuple(1e-2 * rng.standard_normal(weight.shape) for weight in factors.weights)
    deep = random_flow(7, (20, 16, 16, 16, 10), samples=50, scale=0.5, t1=10.0, **linear)
    squared = random_flow(
        6, (10, 20, 20, 5), samples=50, activation="relu-squared", scale=1.5, t1=50.0
    )
    theorem = random_flow(8, (50, 64, 1), samples=20, t1=50.0, **linear)
    feedback = theorem.feedback[0]
    return {
        "factorisation 50x50, rank 5": replace(
            factors, inputs=np.eye(50), targets=target.T, weights=small
        ),
        "deep linear 20-16-16-16-10": _per_sample(deep),
        "relu-squared 10-20-20-5": _per_sample(squared),
        "theorem 2, 50-64-1, N = 20": replace(
            theorem,
            inputs=theorem.inputs / 50**0.5,
            weights=(np.zeros((64, 50)), feedback.copy()),
        ),
    }


def _per_sample(flow: Flow) -> Flow:
    share = flow.inputs.shape[0] ** 0.5
    return replace(flow, inputs=flow.inputs / share, targets=flow.targets / share)


def drift(flow: Flow, state: np.ndarray) -> float:
    """Largest |Q(t1) - Q(0)| over the law's size, its terms taken positive, at t1."""
    degree = ACTIVATIONS[flow.activation][2]

    def laws(now: Flow, sign: int) -> np.ndarray:
        pairs = zip(now.weights[1:], flow.feedback, strict=True)
        parts = [sign * (abs(w * f) if sign < 0 else w * f) for w, f in pairs]
        return np.concatenate(neuron_balance(now, parts, degree))

    end = flow.at(state)
    return float(np.max(np.abs(laws(end, 1) - laws(flow, 1)) / laws(end, -1)))


def race(name: str, flow: Flow) -> list[dict]:
    reference = trajectory(flow, np.array([0.0, flow.t1]), rtol=2.3e-14, atol=1e-15)[-1]
    moved = relative_error(flow.state, reference)
    print(f"{name}: moves by {moved:.2f} of its end", flush=True)
    problem, rows = to_problem(flow), []

    def judge(state: np.ndarray) -> dict:
        return {"error": relative_error(state, reference), "drift": drift(flow, state)}

    for solver, grid in GRIDS.items():
        run = own(problem, flow.t1, solver)
        run(float(grid[0]), 1e-6)  # compiles
        for rtol in grid:
            row = measure(run, float(f"{rtol:.2g}"), judge, repeats=5)
            rows.append({"flow": name, "solver": solver, **row})
        last = rows[-1]
        shown({"solver": solver} | last)
    return rows


def report(rows: list[dict]) -> list[str]:
    lines = ["# Laws to rounding: adaptive Gauss-Legendre against Tsit5 at equal weight error", ""]
    lines += [machine_line() + ".", "", "Field evaluations (ratio to Tsit5; ratio of CPU time)"]
    lines += ["at equal error of the weights. Best: of the ratios of CPU time,"]
    lines += ["by which goals are judged. Drift: over all tolerances."]
    for name in dict.fromkeys(row["flow"] for row in rows):
        mine = [row for row in rows if row["flow"] == name]
        by = {solver: [row for row in mine if row["solver"] == solver] for solver in GRIDS}
        lines += ["", f"## {name}", "", f"| error | tsit5 | {' | '.join(GAUSS)} | best |"]
        lines += ["|" + "---|" * (len(GAUSS) + 3)]
        for error in ERRORS:
            calls = {s: cost_at(by[s], error, "evaluations") for s in GRIDS}
            spent = {s: cost_at(by[s], error) for s in GRIDS}
            plain, seconds = calls["tsit5"], spent["tsit5"]
            cells = [
                "-" if calls[s] is None else f"{calls[s]:.0f}" if plain is None
                else f"{calls[s]:.0f} ({calls[s] / plain:.1f}; {spent[s] / seconds:.1f})"
                for s in GAUSS
            ]  # fmt: skip
            ratio = gauss_ratio(mine, error)
            verdict = (
                "-"
                if ratio is None
                else f"{ratio:.1f}"
                + ("" if ratio <= 3 else " (3x missed)" if ratio <= 5 else " (5x missed)")
            )
            theirs = "-" if plain is None else f"{plain:.0f}"
            lines.append(f"| {error:g} | {theirs} | {' | '.join(cells)} | {verdict} |")
        drifts = {s: [row["drift"] for row in by[s] if row["error"] is not None] for s in GRIDS}
        found = "; ".join(f"{s} {min(d):.0e} to {max(d):.0e}" for s, d in drifts.items() if d)
        lines += ["", f"Drift: {found}."]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    out = parser.parse_args().out
    rows = []
    for name, flow in flows().items():
        rows += race(name, flow)
        jax.clear_caches()
    write_table(out / "law_keeping.csv", rows, COLUMNS)
    write_report(out / "law_keeping.md", report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
