"""A large flow's memory as it is stated before the run, beside what the process really takes.

784-256-10 on 60,000 gaussian samples, a few evaluations of the field, with all samples at once and
in blocks, each in a process of its own whose largest resident set the kernel knows. Two minutes;
results/large_flows.md. `taskset -c 0 python benchmarks/large_flows.py`
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from machine import machine_line

RESULTS = Path(__file__).resolve().parent / "results"
# name, activation, solver, samples, block
CASES = (
    ("the program: 8 samples", "tanh", "tsit5", 8, None),
    ("all at once", "tanh", "tsit5", 60_000, None),
    ("in blocks of 1,000", "tanh", "tsit5", 60_000, 1000),
    ("in blocks of 64", "tanh", "tsit5", 60_000, 64),
    ("relu, all at once", "relu", "heun", 60_000, None),
    ("relu, in blocks of 1,000", "relu", "heun", 60_000, 1000),
)


def config(activation: str, solver: str, samples: int, block: int | None) -> dict:
    """Three steps of a flow that records its loss and residual."""
    flow = {"t1": 3e-4, "step": 1e-4, "saves": 2, "solver": solver}
    return {
        "name": "large",
        "network": {"widths": [784, 256, 10], "activation": activation},
        "task": {
            "kind": "gaussian", "samples": samples, "features": 784, "outputs": 10,
            "reduction": "mean",
        },
        "rule": {"kind": "gradient"},
        "flow": flow | ({} if block is None else {"block": block}),
        "observe": {"names": ["loss", "residual"]},
    }  # fmt: skip


def run(number: int) -> None:
    """One case, in this process: its estimate and its largest resident set, as JSON."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from faflow import experiments
    from faflow.experiments import build, resolve_path
    from faflow.flow import estimate

    resolved = resolve_path(config(*CASES[number][1:]))
    result = experiments.run(resolved, store_result=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    built = build.build(resolved)
    memory = estimate(built.problem, len(built.ts), built.observables, built.numerics)
    solver = result.summary["solver"]
    print(json.dumps({
        "peak": peak, "stated": memory.total, "parts": memory._asdict(), "loss":
        result.summary["loss"]["final"], "evaluations": solver["field_evaluations"],
        "seconds": solver["seconds"],
    }))  # fmt: skip


def main() -> None:
    rows, program = [], 0.0
    for number, (name, _, solver, *_) in enumerate(CASES):
        done = subprocess.run(
            [sys.executable, __file__, str(number)], capture_output=True, text=True, check=True,
            env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        program = program or found["peak"]
        each = found["seconds"] / found["evaluations"]
        rows.append(
            f"| {name} | {solver} | {found['stated'] / 1e9:.2f} | {found['peak'] / 1e9:.2f} "
            f"| {(found['peak'] - program) / 1e9:.2f} | {each:.2f} | {found['loss']:.15g} |"
        )
        print(rows[-1], flush=True)
    text = [
        "# Memory of a large flow, stated and measured",
        "",
        f"{machine_line()}, one core. `python benchmarks/large_flows.py`",
        "",
        "GB as `faflow run` states them before the run, the process's largest resident set, and "
        "that without the program's own (first row); seconds per evaluation of the field, with "
        "what the saves and the kink counts cost; the final loss.",
        "",
        "| 784-256-10, 60,000 samples | solver | stated | peak | above the program | s | loss |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    (RESULTS / "large_flows.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    run(int(sys.argv[1])) if len(sys.argv) > 1 else main()
