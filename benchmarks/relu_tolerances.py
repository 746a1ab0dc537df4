"""The exact ReLU flow at two tolerances, and on to convergence.

`python benchmarks/relu_tolerances.py` (development environment; five minutes on two cores). At
tolerance 1e-9 and at 1e-12 to t = 100 the weights have to agree to 1e-7 and the events in number,
and the laws must not drift; then to a loss below 1e-20 with pairs still sliding. Problems are the
seed 0 draws of problems.py. Writes results/relu_tolerances.csv and .md.
"""

import argparse
import csv
import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from machine import machine_line  # noqa: E402
from problems import flat_weights, relu_problem  # noqa: E402

from faflow._results import Outcome  # noqa: E402
from faflow.flow import Exact, FlowProblem, FlowSolution, Numerics, Stops, integrate  # noqa: E402
from faflow.observables import Loss  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
T_END, TOLERANCES = 100.0, (1e-9, 1e-12)
FLOWS = {
    "fa 10-32-32-32-1, N = 64": {},
    "gradient 10-32-32-32-1, N = 64": {"rule": "gradient"},
    "dfa 10-32-32-32-1, N = 64": {"rule": "dfa"},
    "fa 10-50-1, N = 200, random labels": {
        "widths": (10, 50, 1), "samples": 200, "labels": "random",
    },
    "gradient 10-50-1, N = 200, random labels": {
        "rule": "gradient", "widths": (10, 50, 1), "samples": 200, "labels": "random",
    },
    "fa 10-32-32-32-4, N = 64, softmax, random labels": {
        "widths": (10, 32, 32, 32, 4), "loss": "cross-entropy", "labels": "random",
    },
}  # fmt: skip
TO_THE_END = {
    "gradient 10-32-32-32-1, N = 64": {"rule": "gradient"},
    "fa 10-32-32-32-1, N = 64": {},
    "fa 10-64-1, N = 32, random labels": {
        "widths": (10, 64, 1), "samples": 32, "labels": "random",
    },
}  # fmt: skip
COLUMNS = ("flow", "outcome", "t", "events", "most_sliding", "evaluations", "distance", "drift",
           "loss", "sliding_at_end")  # fmt: skip


def solve(problem: FlowProblem, ts, tol: float, **more) -> FlowSolution:
    numerics = Numerics(
        solver="tsit5", rtol=tol, atol=tol, kinks="exact", max_steps=200_000,
        exact=Exact(slots=128), **more,
    )  # fmt: skip
    return jax.block_until_ready(integrate(problem, ts, {"loss": Loss()}, numerics, throw=False))


def drift(problem: FlowProblem, solution: FlowSolution) -> float:
    """Largest |Q(t) - Q(0)| / |Q(0)| of the layer balance over the layers it is kept in."""
    law = problem.rule.laws(problem.weights)["layer-balance"]
    now, start = (
        np.asarray(law(weights, problem.feedback, problem.data))
        for weights in (solution.weights, problem.weights)
    )
    return float(np.max(np.abs(now - start) / np.abs(start)))


def two_tolerances(name: str, problem: FlowProblem) -> dict:
    one, two = (solve(problem, jnp.array([0.0, T_END]), tol) for tol in TOLERANCES)
    apart = np.linalg.norm(flat_weights(one.weights) - flat_weights(two.weights))
    return {**_row(name, problem, (one, two)), "distance": f"{apart:.2g}"}


def to_the_end(name: str, problem: FlowProblem) -> dict:
    ts = jnp.concatenate([jnp.zeros(1), jnp.geomspace(0.1, 20_000.0, 400)])
    run = solve(problem, ts, 1e-9, tail=True, stops=Stops(loss=1e-21))
    last = int(np.sum(np.asarray(run.reached))) - 1
    assert run.events is not None
    return {
        **_row(f"{name}, to the end", problem, (run,)),
        "loss": f"{float(run.records['loss'][last]):.2g}",
        "sliding_at_end": int(np.sum(np.asarray(run.events.sliding_at)[last])),
    }


def _row(name: str, problem: FlowProblem, runs: tuple[FlowSolution, ...]) -> dict:
    def each(value) -> str:
        return " / ".join(str(value(run)) for run in runs)

    return {
        "flow": name,
        "outcome": each(lambda run: Outcome(int(run.outcome))),
        "t": each(lambda run: f"{float(run.t_final):.7g}"),
        "events": each(lambda run: int(run.events.counts.events)),
        "most_sliding": each(lambda run: int(run.events.counts.most_sliding)),
        "evaluations": each(lambda run: int(run.counts.evaluations)),
        "drift": each(lambda run: f"{drift(problem, run):.1g}"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    rows = []
    for measure, flows in ((two_tolerances, FLOWS), (to_the_end, TO_THE_END)):
        for name, options_of in flows.items():
            rows.append(measure(name, relu_problem(**options_of)))
            print("; ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            jax.clear_caches()
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "relu_tolerances.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    lines = [
        "# Exact ReLU flows at tolerances 1e-9 / 1e-12, and to convergence at 1e-9",
        "",
        f"{machine_line()}. To t = {T_END:g} unless said; distance: of all weights, absolute.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
        *("| " + " | ".join(str(row.get(key, "")) for key in COLUMNS) + " |" for row in rows),
    ]
    (options.out / "relu_tolerances.md").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
