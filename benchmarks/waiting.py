"""What a user waits for: whole processes, beside a script by SciPy and matplotlib of the same flow.

`python benchmarks/waiting.py [--pairs 5] [--only NAME ...]` (development environment, a quarter of
an hour). Every case is run in turn with its peer (waiting_peer.py: same net, data, start, feedback,
tolerance, saves, law, one figure), faflow first with an empty cache of compiled programs, then with
it kept and another seed; matplotlib has its cache of fonts in all of them. Medians of the pairs,
wall seconds; CPU seconds and peak memory of the warm run; fusions of a flow's programs (beginning,
step loop, records). Writes results/waiting.{csv,md}.
"""

import argparse
import csv
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import machine_line

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
STIFF = """
[network]
widths = [10, 20, 1]
activation = "linear"
[task]
kind = "gaussian"
samples = 30
features = 10
noise = 0.1
reduction = "mean"
[rule]
kind = "feedback-alignment"
[flow]
t1 = 1e4
saves = 201
rtol = 1e-8
atol = 1e-10
[observe]
names = ["loss", "laws", "alignment", "norms"]
"""


class Case(NamedTuple):
    """A command of faflow; `peer`: the method of SciPy that does the same, of a config's flow."""

    name: str
    command: list[str]
    config: str = ""
    peer: str = ""


CASES = (
    Case("theorem1-linear", ["run", "--no-figures"], "theorem1-linear", "DOP853"),
    Case("theorem1-linear, figures", ["run"], "theorem1-linear", "DOP853"),
    Case("theorem2-gaussian", ["run", "--no-figures"], "theorem2-gaussian", "DOP853"),
    Case("theorem1-relu, exact", ["run", "--no-figures"], "theorem1-relu"),
    Case("stiff", ["run", "--no-figures"], "stiff.toml", "LSODA"),
    Case("list configs", ["list", "configs"]),
    Case("show", ["show", "theorem1-linear"]),
    Case("laws", ["laws", "laws-small"]),
    Case("report", ["report", "of-report/theorem1-linear", "--out", "report.html"]),
)


class Cost(NamedTuple):
    """Of one process: wall and CPU seconds, peak memory in MB."""

    wall: float
    cpu: float
    memory: float


def timed(command: list[str], folder: Path, cache: Path) -> Cost:
    """Run a command to its end. CalledProcessError if it fails; bounds that a config has for its
    own seed (exit code 1) may break."""
    home = {"XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": str(folder / "matplotlib")}
    home |= {"PYTHONDONTWRITEBYTECODE": ""}  # an installed package has its modules compiled
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    # The child's own peak: of all children only the largest is known.
    ask = "import resource,subprocess,sys;p=subprocess.run(sys.argv[1:],stdout=2);"
    ask += (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);sys.exit(p.returncode > 1)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", ask, *command], cwd=folder, check=True,
                          env={**os.environ, **home}, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, int(done.stdout.split()[-1]) / 1024)


def data_of(config: str, method: str, folder: Path) -> Path:
    """What the peer reads: the flow's data and start, as faflow draws them."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from faflow.config.resolve import resolve_path
    from faflow.measures.experiment import build

    resolved = resolve_path(str(folder / config) if config.endswith("l") and
                                        (folder / config).exists() else config)  # fmt: skip
    problem, flow = build(resolved).problem, resolved.flow
    arrays = {f"W{i}": w for i, w in enumerate(problem.weights.weights, 1)}
    arrays |= {f"F{i}": f for i, f in enumerate(problem.feedback.matrices, 2)}
    data = problem.data
    path = folder / f"{resolved.config.name}.npz"
    np.savez(path, X=data.inputs, y=data.targets, scale=data.weight, t1=flow.t1, saves=flow.saves,
             rtol=flow.rtol, atol=flow.atol, method=method, relu=False, **arrays)  # fmt: skip
    return path


def fusions(case: Case, folder: Path) -> str:
    """Of the programs of the case's flow."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from faflow.config.resolve import resolve_path
    from faflow.flow import Flow, settled
    from faflow.flow.loop import slices
    from faflow.measures.experiment import build

    config = folder / case.config
    made = build(resolve_path(str(config) if config.exists() else case.config))
    flow = Flow(made.problem, made.ts, made.observables, settled(made.problem, made.numerics))
    programs, found = slices.programs_of_flows(), []

    def compiled(number: int, *given):
        program = programs[number].ready(flow, *given)
        found.append(len(re.findall(r" fusion\(", program.compiled.as_text())))
        return program

    underway = compiled(0)(flow)
    compiled(1, underway, np.asarray(1), np.asarray(made.ts.size), 0)
    compiled(2, underway.rows, underway.carry)
    return " + ".join(map(str, found))


def measure(case: Case, pairs: int, folder: Path) -> dict[str, str]:
    """The case's row."""
    faflow = [sys.executable, "-m", "faflow"]
    costs: dict[str, list[Cost]] = {"cold": [], "warm": [], "peer": []}
    data = data_of(case.config, case.peer, folder) if case.peer else None
    for pair in range(pairs):
        with tempfile.TemporaryDirectory() as cache:
            for kind in ("cold", "warm"):
                command = [*faflow, *case.command]
                if case.config:
                    seed = 2 * pair + (kind == "warm")
                    command += [case.config, "--set", f"seed={seed}", "--replace"]
                costs[kind].append(timed(command, folder, Path(cache)))
            if data is not None:
                peer = [sys.executable, str(HERE / "waiting_peer.py"), str(data), "peer.png"]
                costs["peer"].append(timed(peer, folder, Path(cache)))
    middle = {kind: Cost(*map(statistics.median, zip(*found, strict=True)))
              for kind, found in costs.items() if found}  # fmt: skip
    row = {"what": case.name, "cold": f"{middle['cold'].wall:.2f}",
           "warm": f"{middle['warm'].wall:.2f}", "CPU, warm": f"{middle['warm'].cpu:.2f}",
           "MB": f"{middle['warm'].memory:.0f}",
           "fusions": fusions(case, folder) if case.config else "", "SciPy": "",
           "cold / SciPy": "", "warm / SciPy": ""}  # fmt: skip
    if "peer" in middle:
        peer = middle["peer"].wall
        row["SciPy"] = f"{peer:.2f}"
        row |= {f"{kind} / SciPy": f"{middle[kind].wall / peer:.2f}" for kind in ("cold", "warm")}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[case.name for case in CASES])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as there:
        folder, rows = Path(there), []
        (folder / "stiff.toml").write_text(STIFF)
        data = data_of("theorem1-linear", "DOP853", folder)
        timed(
            [sys.executable, str(HERE / "waiting_peer.py"), str(data), "peer.png"], folder, folder
        )
        for case in CASES:
            if arguments.only and case.name not in arguments.only:
                continue
            if case.name == "report":
                made = ["run", "theorem1-linear", "--no-figures"]
                made += ["--out", "of-report/theorem1-linear"]
                timed([sys.executable, "-m", "faflow", *made], folder, folder)
            rows.append(measure(case, arguments.pairs, folder))
            print(json.dumps(rows[-1]), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "waiting.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    lines = ["# Waiting", ""]
    lines += [
        f"{machine_line()}; medians of {arguments.pairs} pairs, seconds of whole processes.",
        "",
    ]
    lines += ["| " + " | ".join(rows[0]) + " |", "|---" + "|--:" * (len(rows[0]) - 1) + "|"]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    (arguments.out / "waiting.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
