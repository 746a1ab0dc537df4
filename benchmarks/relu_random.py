"""Exact flows of 300 random small ReLU networks, each judged by the discrete rule.

`python benchmarks/relu_random.py` (development environment; six minutes, mostly compilation).

Ten kinds of problem (rule, depth, loss, activation, biases) by twenty seeds, and ten whose surfaces
coincide by ten: half of the inputs are multiples of the others (duplicates, mirrored, scaled, zero;
inputs on a line; slopes above 1). All to t = 20 at tolerance 1e-9. Each ends with `completed` or a
named outcome. Each completed one must agree with Euler's method: ||E(eta) - exact|| <= 2 C eta, C
from the Euler runs alone (`tests/flow/random_flows.py`), eta = 1e-3 or, where that disagrees, 3e-4
and 1e-4. Exit code 1 if one disagrees. Writes results/relu_random.csv and .md after every kind.
"""

import argparse
import csv
import sys
import time
from collections import Counter
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
from machine import machine_line  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "flow"))

from random_flows import (  # noqa: E402
    COINCIDING,
    KINDS,
    T_END,
    exact_numerics,
    judge,
    random_flow,
)

from faflow._results import Outcome  # noqa: E402
from faflow.flow import integrate  # noqa: E402

TOL = 1e-9
ALL = KINDS | COINCIDING
COLUMNS = ("kind", "seed", "outcome", "t", "crossed", "landed", "left", "most_sliding", "steps",
           "evaluations", "seconds", "eta", "euler_error", "euler_bound", "agrees")  # fmt: skip


def measure(kind: str, seed: int) -> dict:
    """One row; the discrete rule is asked only about completed flows."""
    problem = random_flow(ALL[kind], seed)
    start = time.perf_counter()
    solution = integrate(problem, jnp.array([0.0, T_END]), {}, exact_numerics(TOL), throw=False)
    jax.block_until_ready(solution.t_final)
    seconds = time.perf_counter() - start
    outcome = Outcome(int(solution.outcome))
    events, counts = solution.events.counts, solution.counts
    row = {
        "kind": kind,
        "seed": seed,
        "outcome": str(outcome),
        "t": f"{float(solution.t_final):.10g}",
        **{name: int(getattr(events, name)) for name in COLUMNS[4:8]},
        "steps": int(counts.accepted) + int(counts.rejected),
        "evaluations": int(counts.evaluations),
        "seconds": f"{seconds:.3g}",
    }
    if outcome is Outcome.COMPLETED:
        verdict = judge(problem, solution.weights)
        row |= {
            "eta": verdict.eta, "euler_error": f"{verdict.error:.3g}",
            "euler_bound": f"{verdict.bound:.3g}", "agrees": verdict.agrees,
        }  # fmt: skip
    return row


def describe(rows: list[dict]) -> str:
    """What became of the rows of one kind."""
    ends = Counter(row["outcome"] for row in rows)
    agree = sum(row.get("agrees", False) for row in rows)
    landed = sum(row["landed"] for row in rows)
    tally = ", ".join(f"{count} {outcome}" for outcome, count in ends.most_common())
    return f"{tally}; {agree} agree with Euler; {landed} landings"


def exceptions(rows: list[dict]) -> list[str]:
    """Rows that did not complete, or that disagree."""
    lines = []
    for row in rows:
        name = f"{row['kind']}, seed {row['seed']}"
        if "agrees" not in row:
            lines.append(f"{name}: {row['outcome']} at t = {row['t']}")
        elif not row["agrees"]:
            lines.append(
                f"{name}: DISAGREES, ||E({row['eta']}) - exact|| = {row['euler_error']} > "
                f"{row['euler_bound']}"
            )
    return lines


def markdown(rows: list[dict]) -> str:
    kinds = dict.fromkeys(row["kind"] for row in rows)
    listed = {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}
    lines = [
        "# Random small ReLU flows, exact against the discrete rule",
        "",
        f"{machine_line()}. tsit5 at {TOL:.0e} to t = {T_END:g}. Largest error / bound: of the "
        "finest Euler run asked against 2 C eta, completed flows only; at most 1 is agreement.",
        "",
        "| kind | problems | outcomes | agree | landings | largest error / bound | eta < 1e-3 |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, mine in listed.items():
        judged = [row for row in mine if "agrees" in row]
        worst = max((float(r["euler_error"]) / float(r["euler_bound"]) for r in judged), default=0)
        ends = Counter(row["outcome"] for row in mine)
        tally = ", ".join(f"{count} {outcome}" for outcome, count in ends.most_common())
        lines.append(
            f"| {kind} | {len(mine)} | {tally} | {sum(r['agrees'] for r in judged)} | "
            f"{sum(r['landed'] for r in mine)} | {worst:.2f} | "
            f"{sum(r['eta'] < 1e-3 for r in judged)} |"
        )
    odd = exceptions(rows)
    lines += ["", f"Not completed or disagreeing: {len(odd)} of {len(rows)}.", ""]
    return "\n".join(lines + [f"- {line}" for line in odd]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="problems per kind, at most")
    parser.add_argument("--kinds", nargs="*", choices=ALL, default=list(ALL))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind in options.kinds:
        seeds = min(options.seeds, 20 if kind in KINDS else 10)
        mine = [measure(kind, seed) for seed in range(seeds)]
        rows += mine
        print(f"{kind}: {describe(mine)}", flush=True)
        for line in exceptions(mine):
            print(f"    {line}", flush=True)
        with (options.out / "relu_random.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)
        (options.out / "relu_random.md").write_text(markdown(rows))
    print(machine_line())
    wrong = sum(row.get("agrees") is False for row in rows)
    print(f"{len(rows)} problems, {wrong} disagree")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
