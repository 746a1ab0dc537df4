"""A sweep beside the loop over SciPy that it stands for, in one run.

`python benchmarks/sweep_scipy.py CONFIG [--members N]` in the development environment, say with
configs/sweep_exponents.toml or configs/sweep_theorem1.toml. faflow runs the sweep with two worker
processes, fits, laws and data set included, no figures, from an empty cache of compiled programs
and again from a full one. SciPy's DOP853 runs, one after the other, `members` of the same flows
with the same tolerance on one core, the field written in numpy (backward pass by hand, nothing else
recorded than the weights at the saves); its time for all is the mean over these times the number
of members, per program. Prints and writes results/sweep_scipy.{csv,md}.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CORES = os.sched_getaffinity(0)  # `measuring` pins this process, and what it starts, to one

import numpy as np  # noqa: E402
from machine import machine_line  # noqa: E402
from measuring import RESULTS, markdown, write_table  # noqa: E402
from scipy.integrate import solve_ivp  # noqa: E402

from faflow.measures.experiment import build  # noqa: E402
from faflow.setup.programs import in_precision  # noqa: E402
from faflow.sweeps.plan import plan_of  # noqa: E402

BUDGET = 20.0  # seconds of SciPy for one member, after which its time is a lower bound
PHI = {
    "linear": (lambda h: h, lambda h: np.ones_like(h)),
    "relu": (lambda h: np.maximum(h, 0), lambda h: (h > 0).astype(float)),
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
}


class OutOfTime(Exception):
    """SciPy's flow takes too long to be waited for."""


def numpy_flow(experiment, kind: str, activation: str):
    """d weights / dt as a function of one vector, by numpy alone."""
    problem = experiment.problem
    inputs, targets = np.asarray(problem.data.inputs), np.asarray(problem.data.targets)
    weight = float(problem.data.weight)
    start = [np.asarray(w) for w in problem.weights.weights]
    matrices = [np.asarray(m) for m in problem.feedback.matrices]
    shapes = [w.shape for w in start]
    cuts = np.cumsum([w.size for w in start])[:-1]
    phi, slope = PHI[activation]

    def velocity(t, flat):
        if time.perf_counter() > velocity.until:
            raise OutOfTime
        weights = [part.reshape(s) for part, s in zip(np.split(flat, cuts), shapes, strict=True)]
        posts, pres = [inputs], []
        for w in weights[:-1]:
            pres.append(posts[-1] @ w.T)
            posts.append(phi(pres[-1]))
        error = weight * (posts[-1] @ weights[-1].T - targets)
        delta, moves = error, [-error.T @ posts[-1]]
        for layer in range(len(weights) - 2, -1, -1):
            if kind == "direct-feedback-alignment":
                back = error @ matrices[layer]
            else:
                back = delta @ (weights[layer + 1] if kind == "gradient" else matrices[layer])
            delta = slope(pres[layer]) * back
            moves.insert(0, -delta.T @ posts[layer])
        return np.concatenate([m.ravel() for m in moves])

    return velocity, np.concatenate([w.ravel() for w in start])


def scipy_seconds(plan, member: int) -> tuple[float, bool]:
    """Wall seconds of one member by SciPy, and whether it came to its end."""
    resolved = plan.resolve(member)
    experiment = build(resolved)
    values = plan.grid.values(member)
    kind = values.get("rule.kind", resolved.rule.kind)
    activation = values.get("network.activation", resolved.activation.kind)
    velocity, start = numpy_flow(experiment, kind, activation)
    flow, ts = resolved.flow, np.asarray(experiment.ts)
    stop = flow.stop.residual
    events = None
    if stop is not None:
        data, net = experiment.problem.data, experiment.problem.weights
        sizes = [w.shape for w in net.weights]
        inputs, targets = np.asarray(data.inputs), np.asarray(data.targets)

        def events(t, flat):
            parts = np.split(flat, np.cumsum([a * b for a, b in sizes])[:-1])
            out = inputs
            for i, (part, shape) in enumerate(zip(parts, sizes, strict=True)):
                out = out @ part.reshape(shape).T
                if i < len(sizes) - 1:
                    out = PHI[activation][0](out)
            return np.linalg.norm(out - targets) - stop

        events.terminal = True
    begun = time.perf_counter()
    velocity.until = begun + BUDGET
    try:
        solve_ivp(velocity, (0.0, ts[-1]), start, "DOP853", t_eval=ts, rtol=flow.rtol,
                  atol=flow.atol, events=events)  # fmt: skip
    except OutOfTime:
        return time.perf_counter() - begun, False
    return time.perf_counter() - begun, True


def faflow_seconds(config: Path, cache: Path, place: Path) -> float:
    """Wall seconds of the command, start of Python included."""
    shutil.rmtree(place, ignore_errors=True)
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)  # of which what is started has its own
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "faflow.cli", "sweep", str(config), "--out", str(place), "--json",
         "--no-figures"],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)}, stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    os.sched_setaffinity(0, mine)
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--members", type=int, default=8, help="of SciPy's, per program")
    options = parser.parse_args()
    rows = []
    for config in options.configs:
        plan = plan_of(config)
        with tempfile.TemporaryDirectory() as place:
            cold, warm = (
                faflow_seconds(config, Path(place) / "cache", Path(place) / "out") for _ in range(2)
            )
        total, bound = 0.0, ""
        with in_precision("float64"):
            for members in plan.programs:
                step = max(1, len(members) // options.members)
                found = [scipy_seconds(plan, m) for m in members[::step][: options.members]]
                total += float(np.mean([s for s, _ in found])) * len(members)
                bound = ">" if not all(ended for _, ended in found) else bound
        rows.append({"sweep": plan.name, "members": plan.grid.size, "faflow, first": cold,
                     "faflow, again": warm, "SciPy loop": f"{bound}{total:.4g}",
                     "ratio, first": f"{bound}{total / cold:.3g}",
                     "ratio, again": f"{bound}{total / warm:.3g}"})  # fmt: skip
        print(rows[-1], flush=True)
    write_table(RESULTS / "sweep_scipy.csv", rows, tuple(rows[0]))
    text = [f"{v:.4g}" if isinstance(v, float) else str(v) for row in rows for v in row.values()]
    width = len(rows[0])
    cells = [text[i : i + width] for i in range(0, len(text), width)]
    lines = ["# A sweep beside a loop over SciPy's DOP853", "", machine_line() + ".", "",
             "Wall seconds; SciPy's are extrapolated from the members that were run.", "",
             *markdown(tuple(rows[0]), cells), ""]  # fmt: skip
    (RESULTS / "sweep_scipy.md").write_text("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
