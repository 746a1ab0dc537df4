"""Laws to rounding, and their price: adaptive Gauss-Legendre against Tsit5 at equal weight error.

`python benchmarks/law_keeping.py` (development environment; five minutes on two cores).

Four flows of feedback alignment are written in numpy (`tests/theory/oracles.py`) and integrated by
SciPy's DOP853 at rtol 2.3e-14 for a reference; sizes and seeds are in `flows`. Every solver runs at
many tolerances: relative error of the final weights, field evaluations, CPU seconds (least of
five), largest relative drift of the neuron balances. The price at an error is that of the cheapest
run that is at most so wrong. Writes results/law_keeping.csv and .md.
"""

import argparse
import csv
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "theory"))

from oracles import (  # noqa: E402
    ACTIVATIONS,
    Flow,
    final_state,
    neuron_balance,
    random_flow,
    to_problem,
    trajectory,
)
from relu_methods import machine_line  # noqa: E402

from faflow._results import Outcome  # noqa: E402
from faflow.flow import Numerics, integrate  # noqa: E402

GRIDS = {
    "tsit5": np.geomspace(1e-2, 1e-13, 23),
    "gauss4": np.geomspace(1e-2, 1e-12, 11),
    "gauss6": np.geomspace(1e-2, 1e-12, 11),
    "gauss8": np.geomspace(1e-2, 1e-12, 11),
}
ERRORS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
COLUMNS = ("flow", "solver", "rtol", "outcome", "error", "drift", "evaluations", "accepted",
           "rejected", "cpu_milliseconds")  # fmt: skip


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


def measure(name: str, flow: Flow, reference: np.ndarray, solver: str, rtol: float) -> dict:
    problem, ts = to_problem(flow), jnp.array([0.0, flow.t1])
    numerics = Numerics(solver=solver, rtol=jnp.asarray(rtol), atol=jnp.asarray(rtol / 100))
    solution, seconds = integrate(problem, ts, {}, numerics, throw=False), []
    for _ in range(5):
        start = time.process_time()
        jax.block_until_ready(integrate(problem, ts, {}, numerics, throw=False))
        seconds.append(time.process_time() - start)
    state = final_state(solution.weights)
    return {
        "flow": name,
        "solver": solver,
        "rtol": float(f"{rtol:.2g}"),
        "outcome": str(Outcome(int(solution.outcome))),
        "error": float(np.linalg.norm(state - reference) / np.linalg.norm(reference)),
        "drift": drift(flow, state),
        "evaluations": int(solution.counts.evaluations),
        "accepted": int(solution.counts.accepted),
        "rejected": int(solution.counts.rejected),
        "cpu_milliseconds": round(1e3 * min(seconds), 3),
    }


def price(rows: list[dict], name: str, solver: str, error: float, column: str) -> float:
    """Of the cheapest run that is at most so wrong; nan if none is."""
    good = [
        row[column] for row in rows
        if (row["flow"], row["solver"]) == (name, solver)
        and row["outcome"] == "completed" and row["error"] <= error
    ]  # fmt: skip
    return min(good, default=np.nan)


def report(rows: list[dict]) -> list[str]:
    gauss = [solver for solver in GRIDS if solver != "tsit5"]
    lines = ["# Laws to rounding: adaptive Gauss-Legendre against Tsit5 at equal weight error", ""]
    lines += [machine_line() + ".", "", "Field evaluations (ratio to Tsit5; ratio of CPU time) of"]
    lines += [
        "the cheapest run whose weights are at most so wrong. Best: of the ratios of CPU time,"
    ]
    lines += ["by which goals are judged. Drift: over all tolerances."]
    for name in dict.fromkeys(row["flow"] for row in rows):
        lines += ["", f"## {name}", "", f"| error | tsit5 | {' | '.join(gauss)} | best |"]
        lines += ["|" + "---|" * (len(gauss) + 3)]
        for error in ERRORS:
            cost = {s: price(rows, name, s, error, "evaluations") for s in GRIDS}
            spent = {s: price(rows, name, s, error, "cpu_milliseconds") for s in GRIDS}
            cells = [
                f"{cost[s]:g} ({cost[s] / cost['tsit5']:.1f}; {spent[s] / spent['tsit5']:.1f})"
                if np.isfinite(cost[s]) else "-" for s in gauss
            ]  # fmt: skip
            best = min((spent[s] for s in gauss if np.isfinite(spent[s])), default=np.nan)
            ratio = best / spent["tsit5"]  # the goal, 5x (aim 3x), is about time
            verdict = "" if not ratio > 3 else " (3x missed)" if ratio <= 5 else " (5x missed)"
            lines.append(
                f"| {error:g} | {cost['tsit5']:g} | {' | '.join(cells)} | {ratio:.1f}{verdict} |"
            )
        ends = {
            s: [row["drift"] for row in rows if (row["flow"], row["solver"]) == (name, s)]
            for s in GRIDS
        }
        found = "; ".join(f"{s} {min(d):.0e} to {max(d):.0e}" for s, d in ends.items())
        lines += ["", f"Drift: {found}."]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    out = parser.parse_args().out
    rows = []
    for name, flow in flows().items():
        reference = trajectory(flow, np.array([0.0, flow.t1]), rtol=2.3e-14, atol=1e-15)[-1]
        moved = np.linalg.norm(reference - flow.state) / np.linalg.norm(reference)
        print(f"{name}: moves by {moved:.2f} of its end", flush=True)
        for solver, grid in GRIDS.items():
            rows += [measure(name, flow, reference, solver, float(rtol)) for rtol in grid]
            last = rows[-1]
            print(f"  {solver}: error {last['error']:.1e}, drift {last['drift']:.1e}, "
                  f"{last['evaluations']} evaluations at {last['rtol']:g}", flush=True)  # fmt: skip
        jax.clear_caches()
    out.mkdir(parents=True, exist_ok=True)
    with (out / "law_keeping.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    lines = report(rows)
    (out / "law_keeping.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
