"""The exact ReLU flow over samples, width and depth: events, sliding, cost, and a check of each.

`python benchmarks/relu_scaling.py` (development environment; twenty minutes on two
cores, `--quick` two minutes).

FA 10-n-..-n-1, gaussian samples, teacher targets, tolerance 1e-8. Every two of the values of
samples, width and depth meet in some row. Large networks get a shorter time, so that rows cost
about the same, and every row a budget of trial steps; the check is made at the time reached. It is
the discrete rule: ||Euler(eta) - exact|| / eta (relative to ||W||) should not depend on eta;
"agrees" means within a factor of two from one eta to the next, and where the first two etas
disagree finer ones decide. Writes results/relu_scaling.csv and .md.
"""

import argparse
import csv
import sys
from itertools import product
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from machine import machine_line  # noqa: E402
from problems import flat_weights, relative_error, relu_problem  # noqa: E402
from relu_methods import first_time, fixed, timed  # noqa: E402

from faflow._results import Outcome  # noqa: E402
from faflow.flow import Exact, FlowProblem, FlowSolution, Numerics, integrate  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SAMPLES, WIDTHS, DEPTHS = (16, 64, 256, 1024), (8, 32, 128), (1, 2, 4)
CENTRE = (64, 32, 2)
ETAS = (1e-3, 3e-4, 1e-4, 3e-5)
TOL = 1e-8
FULL_TIME, FULL_SIZE = 5.0, 2e6  # networks with more products per pass than this get less time
COLUMNS = ("samples", "width", "depth", "t", "reached", "outcome", "events", "crossed", "landed",
           "left", "most_sliding", "steps", "evaluations", "seconds", "compile_seconds",
           "euler_1", "euler_2", "euler_3", "euler_4", "verdict")  # fmt: skip


def cases(quick: bool) -> list[tuple[int, int, int]]:
    """Those that share a value with the centre (all but one if quick)."""
    shared = 2 if quick else 1
    return [
        case
        for case in product(SAMPLES, WIDTHS, DEPTHS)
        if sum(a == b for a, b in zip(case, CENTRE, strict=True)) >= shared
    ]


def end_time(samples: int, width: int, depth: int, longest: float) -> float:
    size = samples * width * (10 + (depth - 1) * width)
    return float(f"{longest * min(1.0, FULL_SIZE / size):.2g}")


def solve(problem: FlowProblem, t1: float, max_steps: int) -> tuple[FlowSolution, float, float]:
    """The solution, seconds and seconds of compilation."""
    numerics = Numerics(
        solver="tsit5", rtol=TOL, atol=TOL, max_steps=max_steps, kinks="exact",
        exact=Exact(slots=128),
    )  # fmt: skip

    def run(end: float) -> FlowSolution:
        return integrate(problem, jnp.array([0.0, end]), {}, numerics, throw=False)

    compiling = first_time(lambda: run(1e-6 * t1))
    solution, seconds = timed(lambda: run(t1))
    return solution, seconds, compiling


def euler_quotient(problem: FlowProblem, solution: FlowSolution, eta: float) -> float:
    """||Euler - exact|| / (eta ||W||) at the time reached, by whole steps of about eta."""
    reached = float(solution.t_final)
    eta = reached / max(1, round(reached / eta))
    run = fixed(problem, reached, "euler", eta)
    return relative_error(run.flat, flat_weights(solution.weights)) / eta


def check(problem: FlowProblem, solution: FlowSolution) -> tuple[list[float], str]:
    """The quotients and what they say."""
    if not float(solution.t_final) > ETAS[0]:
        return [], "not checked: hardly moved"
    quotients = []
    for eta in ETAS:
        quotients.append(euler_quotient(problem, solution, eta))
        ratio = quotients[-1] / quotients[-2] if len(quotients) > 1 else np.inf
        if 0.5 <= ratio <= 2:
            return quotients, "agrees"
    # At a fixed distance the quotients grow like 1 / eta.
    return quotients, "differs: another branch, or wrong" if ratio > 2 else "not settled"


def measure(samples: int, width: int, depth: int, longest: float, max_steps: int) -> dict:
    problem = relu_problem("fa", (10, *[width] * depth, 1), samples)
    t1 = end_time(samples, width, depth, longest)
    solution, seconds, compiling = solve(problem, t1, max_steps)
    quotients, verdict = check(problem, solution)
    events, counts = solution.events.counts, solution.counts
    padded = [*quotients, *[""] * (len(ETAS) - len(quotients))]
    return {
        "samples": samples,
        "width": width,
        "depth": depth,
        "t": t1,
        "reached": float(solution.t_final),
        "outcome": str(Outcome(int(solution.outcome))),
        "events": int(events.events),
        "crossed": int(events.crossed),
        "landed": int(events.landed),
        "left": int(events.left),
        "most_sliding": int(events.most_sliding),
        "steps": int(counts.accepted) + int(counts.rejected),
        "evaluations": int(counts.evaluations),
        "seconds": seconds,
        "compile_seconds": compiling,
        "euler_1": padded[0],
        "euler_2": padded[1],
        "euler_3": padded[2],
        "euler_4": padded[3],
        "verdict": verdict,
    }


def shown(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def markdown(rows: list[dict], machine: str) -> str:
    etas = ", ".join(f"{eta:.0e}" for eta in ETAS)
    lines = [
        "# The exact ReLU flow over samples, width and depth",
        "",
        f"{machine}. FA 10-n-..-1, teacher targets, seed 0, tsit5 at {TOL:.0e}. euler_1..4: "
        f"||Euler(eta) - exact|| / (eta ||W||) at the time reached, eta = {etas}.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "--:|" * len(COLUMNS),
    ]
    lines += ["| " + " | ".join(shown(row[name]) for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write(out: Path, name: str, rows: list[dict], machine: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with open(out / f"{name}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    (out / f"{name}.md").write_text(markdown(rows, machine))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="eight rows to t = 0.3; *-quick.*")
    parser.add_argument("--max-steps", type=int, default=6000, help="trial steps of a row")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    longest = 0.3 if options.quick else FULL_TIME
    machine = machine_line()
    print(machine)
    print(f"{'N':>5}{'width':>6}{'depth':>6}{'t':>9}{'events':>8}{'sliding':>8}{'evals':>9}"
          f"{'seconds':>9}  outcome, Euler quotients, verdict")  # fmt: skip
    rows = []
    for case in cases(options.quick):
        row = measure(*case, longest, options.max_steps)
        rows.append(row)
        quotients = ", ".join(shown(row[f"euler_{i}"]) for i in (1, 2, 3, 4))
        print(f"{case[0]:>5}{case[1]:>6}{case[2]:>6}{row['reached']:>9.3g}{row['events']:>8}"
              f"{row['most_sliding']:>8}{row['evaluations']:>9}{row['seconds']:>9.3g}"
              f"  {row['outcome']}; {quotients}; {row['verdict']}", flush=True)  # fmt: skip
        jax.clear_caches()
    write(options.out, "relu_scaling-quick" if options.quick else "relu_scaling", rows, machine)
    wrong = [row for row in rows if row["verdict"].startswith("differs")]
    print(f"{len(rows)} rows, {len(wrong)} of them differ from Euler")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
