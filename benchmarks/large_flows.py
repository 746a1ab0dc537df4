"""A large flow's memory as it is stated before the run, beside what the process really takes.

Two nets on 60,000 gaussian samples, a few evaluations of the field, with all samples at once and in
blocks, each in a process of its own whose largest resident set the kernel knows. Some minutes;
results/large_flows.md. `taskset -c 0 python benchmarks/large_flows.py`
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from machine import machine_line

RESULTS = Path(__file__).resolve().parent / "results"
# widths, activation, solver, samples, block
CASES = (
    ((784, 256, 10), "tanh", "tsit5", 8, None),  # the program
    ((784, 256, 10), "tanh", "tsit5", 60_000, None),
    ((784, 256, 10), "tanh", "tsit5", 60_000, 1000),
    ((20, 2000, 10), "tanh", "tsit5", 60_000, None),
    ((20, 2000, 10), "tanh", "tsit5", 60_000, 1000),
    ((20, 2000, 10), "relu", "heun", 60_000, None),
    ((20, 2000, 10), "relu", "heun", 60_000, 1000),
)


def config(widths, activation: str, solver: str, samples: int, block: int | None) -> dict:
    """Two steps of a flow that records its loss and residual."""
    flow = {"t1": 2e-4, "step": 1e-4, "saves": 2, "solver": solver}
    return {
        "name": "large",
        "network": {"widths": list(widths), "activation": activation},
        "task": {
            "kind": "gaussian", "samples": samples, "features": widths[0],
            "outputs": widths[-1], "reduction": "mean",
        },
        "rule": {"kind": "gradient"},
        "flow": flow | ({} if block is None else {"block": block}),
        "observe": {"names": ["loss", "residual"]},
    }  # fmt: skip


def run(number: int) -> None:
    """One case, in this process: its estimate and its largest resident set, as JSON."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from faflow.config.resolve import resolve_path
    from faflow.flow import estimate
    from faflow.measures.experiment import build
    from faflow.runs.run import compute

    resolved = resolve_path(config(*CASES[number]))
    built = build(resolved)
    memory = estimate(built.problem, len(built.ts), built.observables, built.numerics)
    summary, _ = compute(resolved, built, lambda text: None, None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({
        "peak": peak, "stated": memory.total, "parts": memory._asdict(),
        "loss": summary["loss"]["final"], "seconds": field_seconds(built.problem),
    }))  # fmt: skip


def field_seconds(problem) -> float:
    """CPU seconds of one evaluation of the field, the least of three."""
    import equinox as eqx
    import jax

    velocity = eqx.filter_jit(lambda p: p.rule.vector_field(p.weights, p.feedback, p.data))
    found = []
    for _ in range(4):  # the first compiles
        start = time.process_time()
        jax.block_until_ready(velocity(problem))
        found.append(time.process_time() - start)
    return min(found[1:])


def main() -> None:
    rows, program = [], 0.0
    for number, (widths, activation, solver, samples, block) in enumerate(CASES):
        done = subprocess.run(
            [sys.executable, __file__, str(number)], capture_output=True, text=True, check=True,
            env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        program = program or found["peak"]
        above = found["peak"] - program
        ratio = f"{found['stated'] / above:.2f}" if above else "-"
        rows.append(
            f"| {'-'.join(map(str, widths))} | {activation}, {solver} | {samples:,} "
            f"| {block or 'all'} | {found['stated'] / 1e9:.2f} | {found['peak'] / 1e9:.2f} "
            f"| {above / 1e9:.2f} | {ratio} | {found['seconds']:.2f} | {found['loss']:.15g} |"
        )
        print(rows[-1], found["parts"], flush=True)
    text = [
        "# Memory of a large flow, stated and measured",
        "",
        f"{machine_line()}, one core. `taskset -c 0 python benchmarks/large_flows.py`",
        "",
        "GB as `faflow run` states them before the run, the process's largest resident set, that "
        "above the first row's (the program itself), and what is stated over it; CPU seconds of an "
        "evaluation of the field; the final loss.",
        "",
        "| net | solver | samples | at once | stated | peak | above | ratio | s | loss |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    (RESULTS / "large_flows.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    run(int(sys.argv[1])) if len(sys.argv) > 1 else main()
