"""Where the time of `faflow run` goes: a small, a stiff and a large flow, first and second start.

`python benchmarks/profile_runs.py` (development environment, two minutes). Every run is a process
of its own with a cache of compiled programs that is empty at the first and kept for the second.
Wall seconds. `field`: evaluations times the seconds of one (products with the Jacobian count as
two), measured apart in the same process. Writes results/profile.{csv,md}.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import machine_line

HERE = Path(__file__).resolve().parent
STIFF = """
[network]
widths = [10, 20, 1]
activation = "tanh"
[task]
kind = "teacher"
widths = [10, 20, 1]
activation = "tanh"
samples = 200
reduction = "mean"
[rule]
kind = "feedback-alignment"
[flow]
t1 = 1e4
saves = 101
spacing = "log"
rtol = 1e-8
"""
LARGE = """
[network]
widths = [64, 256, 128, 10]
activation = "tanh"
bias = true
[task]
kind = "digits"
target = "one-hot"
loss = "cross-entropy"
reduction = "mean"
[rule]
kind = "feedback-alignment"
[flow]
t1 = 20.0
saves = 101
rtol = 1e-6
"""
PHASES = ("start", "import", "config", "compile", "integrate", "of it field", "observe and store",
          "figures")  # fmt: skip
CHILD = """
import json, sys, time
begun = time.perf_counter()
import jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", sys.argv[3])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.02)
from faflow.config.resolve import resolve_path
from faflow.measures.experiment import build
from faflow.runs.run import run
imported = time.perf_counter()
resolved = resolve_path(sys.argv[1])
problem = build(resolved).problem
ready = time.perf_counter()
build(resolved)
again = time.perf_counter()
result = run(resolved, out=sys.argv[2])
ran = time.perf_counter()
from faflow.plots import draw
draw(result)
drawn = time.perf_counter()
import jax.numpy as jnp
from faflow.flow.loop.multistep import flat_field
field, _, y = flat_field(problem)
step = lambda _, y: y + 1e-12 * field(jnp.zeros(()), y)
loop = jax.jit(lambda y, n: jax.lax.fori_loop(0, n, step, y))
loop(y, 3).block_until_ready()
least = float("inf")
for _ in range(3):
    start = time.perf_counter()
    loop(y, 50).block_until_ready()
    least = min(least, (time.perf_counter() - start) / 50)
solver = result.summary["solver"]
compiling, running = solver["compile_seconds"], solver["seconds"]
work = solver["field_evaluations"] + 2 * solver.get("products", 0)
print(json.dumps({
    "start": ready - begun + compiling, "import": imported - begun, "config": ready - imported,
    "compile": compiling, "integrate": running, "of it field": work * least,
    "observe and store": ran - again - (again - ready) - running - compiling,
    "figures": drawn - ran,
    "solver": " then ".join(leg["solver"] for leg in solver["chosen"]), "steps": solver["steps"],
    "evaluations": solver["field_evaluations"], "products": solver.get("products", 0),
}))
"""


def measure(name: str, text: str) -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        config = place / f"{name}.toml"
        config.write_text(text)
        for turn in ("first", "second"):
            arguments = [sys.executable, "-c", CHILD, config, place / turn, place / "programs"]
            found = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=HERE,
                                   env=os.environ)  # fmt: skip
            rows.append({"flow": name, "turn": turn, **json.loads(found.stdout.splitlines()[-1])})
            print(rows[-1], flush=True)
    return rows


def main() -> int:
    configs = HERE.parent / "configs"
    small = (configs / "theorem1_linear.toml").read_text()
    rows = [row for name, text in (("small", small), ("stiff", STIFF), ("large", LARGE))
            for row in measure(name, text)]  # fmt: skip
    with (HERE / "results" / "profile.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    lines = ["# Where the time of a run goes", "", machine_line() + ".", ""]
    lines += ["Wall seconds; `start`: until the first step, what comes before it together.", ""]
    lines += [f"| flow | {' | '.join(PHASES)} | solver, steps, evaluations + products |"]
    lines += ["|---" * (len(PHASES) + 2) + "|"]
    for row in rows:
        cells = " | ".join(f"{row[phase]:.2g}" for phase in PHASES)
        work = f"{row['solver']}, {row['steps']}, {row['evaluations']} + {row['products']}"
        lines.append(f"| {row['flow']}, {row['turn']} | {cells} | {work} |")
    (HERE / "results" / "profile.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
