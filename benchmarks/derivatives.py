"""What a derivative costs, in flows: `python benchmarks/derivatives.py`.

A tanh 64-100-10 net on scikit-learn's digits under feedback alignment, to t = 100 at rtol 1e-6: the
loss at the end by a whole feedback matrix, with few saves and many. CPU seconds of this process
without compiling, medians of runs that take turns, over those of the flow by the same solver.
"""

import argparse
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from machine import machine_line
from measuring import RESULTS, markdown, shown, write_report, write_table
from sklearn.datasets import load_digits

from faflow import FlowProblem, Numerics
from faflow.feedback import Feedback
from faflow.flow import solve
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

GOALS = {"jvp": 2.5, "grad": 4.0}
WAYS = {
    "jvp, free": {"sensitivities": "free"},
    "jvp, controlled": {"sensitivities": "controlled"},
    "grad, checkpointed": {"adjoint": "checkpointed"},
}
SOLVERS = ("tsit5", "auto")
COLUMNS = ("samples", "saves", "solver", "what", "seconds", "flows", "MiB", "steps", "evaluations")


def functions(samples: int, saves: int, solver: str, rtol: float) -> tuple[dict, jax.Array]:
    """The flow and its derivatives, as functions of the feedback matrix, and such a matrix."""
    rng = np.random.default_rng(0)
    inputs, digits = (part[:samples] for part in load_digits(return_X_y=True))
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape) / shape[1] ** 0.5)  # noqa: E731
    net = MLP((draw(100, 64), draw(10, 100)), activation=ACTIVATIONS["tanh"]())
    back, way = draw(10, 100), draw(10, 100)
    data = make_data(inputs / 16, np.eye(10)[digits], reduction="mean")
    problem = FlowProblem(FeedbackAlignment(), net, Feedback((back,), "layerwise"), data)
    ts = jnp.linspace(0.0, 100.0, saves)

    def ended(back, **more):
        """The loss at the end, and what it took."""
        there = eqx.tree_at(lambda p: p.feedback.matrices, problem, (back,))
        flow = solve(there, ts, {"loss": Loss()}, Numerics(solver=solver, rtol=rtol, **more))
        return flow.records["loss"][-1], (flow.counts.accepted, flow.counts.evaluations)

    def way_of(adjoint=None, **more):
        if adjoint:
            by = jax.value_and_grad(lambda b: ended(b, adjoint=adjoint, **more), has_aux=True)
            return lambda back: by(back)[::-1]
        return lambda back: jax.jvp(lambda b: ended(b, **more), (back,), (way,), has_aux=True)[1:]

    return {"flow": ended} | {what: way_of(**more) for what, more in WAYS.items()}, back


def rows_of(samples: int, saves: int, solver: str, rtol: float, repeats: int) -> list[dict]:
    found, back = functions(samples, saves, solver, rtol)
    compiled = {what: jax.jit(call).lower(back).compile() for what, call in found.items()}
    seconds: dict[str, list[float]] = {what: [] for what in found}
    for _ in range(repeats):
        for what, call in compiled.items():
            begun = time.process_time()
            told = jax.block_until_ready(call(back))
            seconds[what].append(time.process_time() - begun)
            del told
    rows = []
    for what, call in compiled.items():
        steps, evaluations = jax.tree.leaves(call(back))[-2:]
        spent = float(np.median(seconds[what]))
        rows.append(
            {
                "samples": samples,
                "saves": saves,
                "solver": solver,
                "what": what,
                "seconds": spent,
                "flows": spent / float(np.median(seconds["flow"])),
                "MiB": call.memory_analysis().temp_size_in_bytes / 2**20,
                "steps": int(steps),
                "evaluations": int(evaluations),
            }
        )
        shown(rows[-1])
    return rows


def report(rows: list[dict]) -> list[str]:
    lines = [f"# {(__doc__ or '').splitlines()[0].split(':')[0]}", "", f"{machine_line()}.", ""]
    lines += ["A tanh 64-100-10 net on the digits, feedback alignment to t = 100, rtol 1e-6: the"]
    lines += ["loss at the end by a 10 x 100 feedback matrix. CPU seconds over those of the flow"]
    lines += ["by the same solver, medians; in brackets the MiB of the program."]
    lines += [f"Goals: {GOALS['jvp']} for jvp, {GOALS['grad']:g} for grad."]
    head = ("samples", "saves", "solver", "steps", "flow, s", *WAYS)
    cells = []
    for one in dict.fromkeys((row["samples"], row["saves"], row["solver"]) for row in rows):
        mine = {r["what"]: r for r in rows if (r["samples"], r["saves"], r["solver"]) == one}
        ways = [
            f"{mine[w]['flows']:.2f} ({mine[w]['MiB']:.0f})"
            + (" (missed)" if mine[w]["flows"] > GOALS[w.split(",")[0]] else "")
            if w in mine
            else "-"
            for w in WAYS
        ]
        flow = mine["flow"]
        cells.append([*map(str, one), str(flow["steps"]), f"{flow['seconds']:.2f}", *ways])
    return [*lines, "", *markdown(head, cells)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--saves", type=int, nargs="+", default=[2, 11, 500])
    parser.add_argument("--solvers", nargs="+", default=SOLVERS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = []
    for samples in given.samples:
        for saves in given.saves:
            for solver in given.solvers:
                rows += rows_of(samples, saves, solver, 1e-6, given.repeats)
                jax.clear_caches()
    write_table(given.out / "derivatives.csv", rows, COLUMNS)
    write_report(given.out / "derivatives.md", report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
