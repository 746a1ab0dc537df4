"""This code beside another checkout of it, flow by flow: has integration become slower?

`python benchmarks/before.py CHECKOUT` (a folder; `git worktree add` makes one). Each side is one
process that compiles every flow once and is then asked for one flow at a time, in turns: CPU
seconds of the process, median of `--rounds`, and field evaluations. Problems are made by this
folder's files on both sides. Writes results/before.csv and before.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LEAST = 0.2  # seconds that a turn takes at least: a short flow is run several times
COLUMNS = ("flow", "before", "now", "ratio", "evaluations before", "evaluations now")


def cases() -> dict[str, Callable[[], Any]]:
    """What is run, by name; returns a solution."""
    import flows
    import numpy as np
    from problems import relu_problem

    from faflow.ensembles import solve_batch
    from faflow.flow import Numerics, integrate

    try:
        from faflow.flow import Flow
    except ImportError:  # where it stood before
        from faflow.ensembles import Flow

    def flow(problem: Any, t1: float, saves: int = 21, **how: Any) -> Callable[[], Any]:
        ts, numerics = np.linspace(0, t1, saves), Numerics(**how)
        return lambda: integrate(problem, ts, {}, numerics, throw=False)

    def alone(problems: list[Any]) -> Callable[[], Any]:
        runs = [flow(problem, 5.0, 51, rtol=1e-8) for problem in problems]
        return lambda: [run() for run in runs][-1]

    def batch(problems: list[Any]) -> Callable[[], Any]:
        import jax.numpy as jnp

        ts = jnp.linspace(0, 5.0, 51)
        members = [Flow(problem, ts, {}, Numerics(rtol=1e-8)) for problem in problems]
        return lambda: solve_batch(members)[-1]

    linear = flows.student([20, 16, 16, 16, 10], [20, 10], 100, "linear", rule=flows.FA)
    tanh = flows.student([30, 10, 2], [30, 10, 2], 300, "tanh", rule=flows.FA)
    stiff = flows.student([5, 10, 1], [5, 5, 1], 100, "tanh")
    members = [relu_problem(widths=(10, 16, 12, 1), samples=24, seed=seed) for seed in range(16)]
    smooth = [
        flows.student([10, 16, 12, 1], [10, 4, 1], 24, "tanh", rule=flows.FA, scales=1 + i / 16)
        for i in range(16)
    ]
    exact = [flow(problem, 2.0, 51, rtol=1e-8, kinks="exact") for problem in members]
    return {
        "relu 10-32-32-32-1, exact, 1e-8": flow(relu_problem(), 5.0, rtol=1e-8, kinks="exact"),
        "relu 10-32-32-32-1, exact, 1e-11": flow(relu_problem(), 5.0, rtol=1e-11, kinks="exact"),
        "relu 10-32-32-32-1, plain, 1e-5": flow(relu_problem(), 0.2, rtol=1e-5),
        "16 relu flows one by one, exact": lambda: [run() for run in exact][-1],
        "16 tanh flows one by one": alone(smooth),
        "16 tanh flows at once": batch(smooth),
        "linear 20-16-16-16-10, tsit5, 1e-10": flow(linear, 20.0, 201, rtol=1e-10, atol=1e-12),
        "tanh 30-10-2, tsit5, 1e-9": flow(tanh, 100.0, rtol=1e-9, atol=1e-11),
        "tanh 30-10-2, gauss4, 1e-8": flow(tanh, 10.0, solver="gauss4", rtol=1e-8),
        "tanh 5-10-1, bdf, 1e-6": flow(stiff, 1e4, solver="bdf", rtol=1e-6, atol=1e-8),
        "theorem2, tsit5, 1e-8": flow(flows.theorem2(), 200.0, rtol=1e-8),
        "digits 64-30-10, tsit5, 1e-6": flow(flows.digits(width=30), 2.0, rtol=1e-6),
    }


def serve() -> None:
    """Answers names of flows with CPU seconds and evaluations, a line of JSON each."""
    import jax

    jax.config.update("jax_enable_x64", True)
    known, met = cases(), set()
    print(json.dumps(list(known)), flush=True)
    for line in sys.stdin:
        name = line.strip()
        run = known[name]
        if name not in met:
            jax.block_until_ready(run())
            met.add(name)
        started, times = time.process_time(), 0
        while times == 0 or time.process_time() - started < LEAST:
            solution = jax.block_until_ready(run())
            times += 1
        seconds = (time.process_time() - started) / times
        found = {"seconds": seconds, "evaluations": int(solution.counts.evaluations)}
        print(json.dumps(found), flush=True)


def started(checkout: Path) -> subprocess.Popen[str]:
    around = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__)), "--serve", str(checkout)]
    return subprocess.Popen(
        command, env=around, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def asked(server: subprocess.Popen[str], name: str) -> dict[str, float]:
    assert server.stdin is not None
    print(name, file=server.stdin, flush=True)
    return said(server)


def said(server: subprocess.Popen[str]) -> Any:
    assert server.stdout is not None
    return json.loads(server.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        return serve()
    from machine import machine_line
    from measuring import markdown, write_report, write_table

    sides = [started(chosen.checkout.resolve()), started(ROOT)]
    names, _ = map(said, sides)
    rows = []
    for name in names:
        turns = [[asked(side, name) for side in sides] for _ in range(chosen.rounds)]
        before, now = (
            {key: statistics.median(turn[i][key] for turn in turns) for key in turns[0][0]}
            for i in (0, 1)
        )
        row = {
            "flow": name,
            "before": f"{before['seconds']:.4g}",
            "now": f"{now['seconds']:.4g}",
            "ratio": f"{now['seconds'] / before['seconds']:.2f}",
            "evaluations before": f"{before['evaluations']:.0f}",
            "evaluations now": f"{now['evaluations']:.0f}",
        }
        rows.append(row)
        print(row, flush=True)
    for side in sides:
        side.kill()
    git = ["git", "-C", str(chosen.checkout), "log", "-1", "--format=%h of %ad", "--date=short"]
    other = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    write_table(ROOT / "benchmarks/results/before.csv", rows, COLUMNS)
    lines = [
        "# Integration before and now", "",
        f"`python benchmarks/before.py` beside {other}: CPU seconds of a compiled flow, median of "
        f"{chosen.rounds} turns. To compile in less "
        "time, elementwise operations of small nets are not vectorised any more "
        f"(`faflow/_compiling.py`). {machine_line()}", "",
        *markdown(COLUMNS, ([row[column] for column in COLUMNS] for row in rows)),
    ]  # fmt: skip
    write_report(ROOT / "benchmarks/results/before.md", lines)


if __name__ == "__main__":
    main()
