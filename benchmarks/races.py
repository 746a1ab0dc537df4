"""Work and precision: faflow beside every solver a theorist would reach for, in one run.

`make benchmarks`, or `python benchmarks/races.py` in the development environment after
`python benchmarks/races.py --make-peers` (build/peers; without it its methods are left out, and the
tables say so); `--quick`: three small flows. Flows: flows.py. Methods: methods.py, torch_peers.py.

Every method runs over a ladder of tolerances (atol = rtol / 100; fixed steps: over step sizes),
until it is exact enough or its time is over. Seconds are CPU seconds of compiled runs, the least of
up to three. Methods are compared at equal error of all final weights, ||W - W*|| / ||W*||, W* by
faflow's dopri8 at 1e-13, which the errors of the peers confirm: cost is interpolated log-log in the
ladder, or, where a method is always more exact, that of its cheapest run. Writes
results/races.{csv,md}, a figure per flow, and the goals with their verdicts (goals.py).
"""

import argparse
import itertools
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import goals
import jax
import numpy as np
from drawing import draw
from flows import FLOWS, Flow
from machine import PEERS, find_peers, machine_line, make_peers, peer_versions
from measuring import (
    RESULTS,
    Judge,
    measure,
    read_table,
    relative_error,
    row_of,
    shown,
    write_table,
)
from methods import Fields, cvode, fixed_steps, lsoda, own, plain_diffrax, scipy_method

OWN = ("auto", "tsit5", "dopri8", "adams", "bdf", "bdf-krylov")
DIFFRAX = {"diffrax Tsit5": "tsit5", "diffrax Kvaerno5": "kvaerno5"}
LSODA = {"LSODA, differences": False, "LSODA + J": True}
SCIPY = {"SciPy DOP853": ("DOP853", False), "SciPy BDF + J": ("BDF", True),
         "SciPy Radau + J": ("Radau", True)}  # fmt: skip
CVODE = {"CVODE BDF-GMRES": "BDF", "CVODE Adams": "Adams"}
FIXED = {"Euler": "euler", "Heun": "heun", "RK4": "rk4"}
TORCH = ("torchdiffeq dopri5", "torchode dopri5")
RTOLS = tuple(10.0**-k for k in range(4, 13))
HELD = (1e-6, 1e-9, 1e-11)  # stability, not the tolerance, decides what a run costs
EXPLICIT = ("faflow tsit5", "faflow dopri8", "faflow adams", "diffrax Tsit5",
            "SciPy DOP853", *TORCH)  # fmt: skip
SHARES = tuple(2.0**-k for k in range(5, 24, 2))  # of t1, fixed steps
# Raced for their figures: no goal is about them, so a third of the time will do.
ASIDE = (*FIXED, *SCIPY, "CVODE Adams", "diffrax Kvaerno5", "torchode dopri5")
SECONDS = 6.0  # that a run of one of these may take; those of torch, twice that
KRYLOV = 500  # weights beyond which bdf is bdf-krylov on these flows
QUICK = ("R3 two-layer linear FA, T = 200", "R4 factorisation, r = 4 < rank", "R10 tanh 30-10-1")
COLUMNS = ("flow", "method", "rtol", "error", "residual", "seconds", "evaluations", "products",
           "jacobians", "accepted", "rejected", "legs", "why")  # fmt: skip


def rungs(flow: Flow, method: str) -> tuple[float, ...]:
    if method in FIXED:
        return SHARES
    return HELD if flow.stiff and method in EXPLICIT else RTOLS


def ladder(flow: Flow, name: str, method: str, run, judge: Judge) -> list[dict]:
    """One row per rung, loosest first, until exact enough, out of time, or broken."""
    rows, fixed = [], method in FIXED
    warm_up(method, run, rungs(flow, method)[0])
    began = time.perf_counter()
    budget, growth = flow.budget / (3 if method in ASIDE else 1), 4 if fixed else 1.5
    for rung in rungs(flow, method):
        rows.append({"flow": name, "method": method, **measure(run, rung, judge)})
        last = rows[-1]
        shown(last)
        spent = time.perf_counter() - began
        late = spent + growth * last["seconds"] > budget
        if enough(flow, last) or late or (last["error"] is None and not fixed):
            break
    return rows


def warm_up(method: str, run, rung: float) -> None:
    """Compiles what a method runs."""
    if "auto" in method or method in FIXED:
        run(rung)
    elif method.startswith(("faflow", "diffrax")):
        run(rung, 1e-6)


def enough(flow: Flow, row: dict) -> bool:
    exact = row["error"] is not None and row["error"] <= min(flow.errors) / 3
    return exact and (flow.residual is None or row["residual"] <= flow.residual)


def race(name: str, flow: Flow, wanted: tuple[str, ...], there: bool) -> list[dict]:
    problem = flow.make()
    reference, counts = own(problem, flow.t1, "dopri8")(1e-13)
    assert reference is not None, counts
    fields = Fields(problem, 2 * flow.budget)  # seconds of a run, at most
    fields(0.0, fields.start)
    if "LSODA + J" not in flow.slow:
        fields.jacobian(0.0, fields.start)

    def judge(state: np.ndarray) -> dict:
        found = {"error": relative_error(state, reference)}
        return found | ({} if flow.residual is None else {"residual": fields.residual(state)})

    runs = {f"faflow {solver}": own(problem, flow.t1, solver) for solver in OWN}
    if reference.size > KRYLOV:
        del runs["faflow bdf-krylov"]
    if flow.residual is not None:
        runs["faflow bdf, tail"] = own(problem, flow.t1, "bdf", tail=True)
    runs |= {label: plain_diffrax(problem, flow.t1, solver) for label, solver in DIFFRAX.items()}
    runs |= {label: lsoda(fields, flow.t1, jacobian) for label, jacobian in LSODA.items()}
    runs |= {label: scipy_method(fields, flow.t1, *how) for label, how in SCIPY.items()}
    if there:
        runs |= {label: cvode(fields, flow.t1, how) for label, how in CVODE.items()}
    runs |= {label: fixed_steps(fields, flow.t1, how) for label, how in FIXED.items()}
    rows = []
    for method, run in runs.items():
        if method not in flow.slow and any(text in method for text in wanted):
            fields.seconds = SECONDS if method in ASIDE else 2 * flow.budget
            rows += ladder(flow, name, method, run, judge)
    if there and any(text in method for text in wanted for method in TORCH):
        rows += torch_rows(name, flow, problem, fields, reference, judge, 2 * SECONDS)
    if "" in wanted:
        rows += paired(name, flow, problem, judge)
    return rows


def paired(name: str, flow: Flow, problem, judge: Judge) -> list[dict]:
    """tsit5 of faflow and of plain diffrax turn by turn at one tolerance, the least of many."""
    if flow.stiff:
        return []
    runs = {"paired faflow tsit5": own(problem, flow.t1, "tsit5"),
            "paired diffrax Tsit5": plain_diffrax(problem, flow.t1, "tsit5")}  # fmt: skip
    least, found = dict.fromkeys(runs, np.inf), {}
    for run in runs.values():
        run(1e-8, 1e-6)  # compiles
    began, turns = time.perf_counter(), 0
    while turns < 3 or (turns < 30 and time.perf_counter() - began < flow.budget):
        for method, run in runs.items():
            start = time.process_time()
            found[method] = run(1e-8)
            least[method] = min(least[method], time.process_time() - start)
        turns += 1
    rows = [{"flow": name, "method": method, **row_of(1e-8, state, least[method], counts, judge)}
            for method, (state, counts) in found.items()]  # fmt: skip
    for row in rows:
        shown(row)
    return rows


def torch_rows(
    name: str,
    flow: Flow,
    problem,
    fields: Fields,
    reference,
    judge,
    seconds: float,
    tolerances=None,
    methods=TORCH,
) -> list[dict]:
    """The ladder in the peers' environment; its field must be the rule's. `seconds`: of a run;
    `tolerances`: others than a race's."""
    net, data = problem.weights, problem.data
    tolerances = tolerances or rungs(flow, TORCH[0])
    task = {
        "layers": len(net.weights), "X": data.inputs, "Y": data.targets, "weight": data.weight,
        "activation": type(net.activation).__name__, "t1": flow.t1, "tolerances": tolerances,
        "softmax": type(data.loss).__name__ == "CrossEntropy", "seconds": seconds,
        "reference": reference, "enough": min(flow.errors) / 3, "budget": flow.budget / 2,
        "methods": methods,
    }  # fmt: skip
    task |= {f"W{l}": w for l, w in enumerate(net.weights, start=1)}
    task |= {f"b{l}": b for l, b in enumerate(net.biases, start=1)}
    task |= {f"F{l}": m for l, m in enumerate(problem.feedback.matrices, start=2)}
    with tempfile.TemporaryDirectory() as folder:
        given, got = Path(folder, "task.npz"), Path(folder, "results.npz")
        np.savez(given, **{key: np.asarray(value) for key, value in task.items()})
        script = Path(__file__).with_name("torch_peers.py")
        subprocess.run([PEERS / "bin" / "python", script, given, got], check=True)
        found = dict(np.load(got))
    fields.begin()
    np.testing.assert_allclose(found["slope"], fields(0.0, fields.start), rtol=1e-9, atol=1e-12)
    rows = []
    for method, tol in itertools.product(methods, tolerances):
        key = f"{method}/{tol:.0e}"
        if f"{key}/flat" not in found:
            continue
        why = str(found[f"{key}/why"])
        counts = {"evaluations": int(found[f"{key}/evaluations"])} | ({"why": why} if why else {})
        state, seconds = None if why else found[f"{key}/flat"], float(found[f"{key}/seconds"])
        row = row_of(tol, state, seconds, counts, judge)
        rows.append({"flow": name, "method": method, **row})
        shown(rows[-1])
    return rows


def about(there: bool, began: float) -> list[str]:
    most = [resource.getrusage(who).ru_maxrss / 2**20
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]  # fmt: skip
    lines = [machine_line(peer_versions()) + ".", ""]
    lines += ["One core, one thread, synchronous calls of jitted functions. "
              f"{(time.perf_counter() - began) / 60:.0f} minutes; most memory {most[0]:.1f} GiB, "
              f"of the process of torch {most[1]:.1f} GiB."]  # fmt: skip
    if not there:
        lines += ["build/peers is not there: CVODE, torchdiffeq and torchode are missing."]
    return [*lines, "numbalsoda is left out: no wheel, and its source needs a Fortran compiler."]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, default=RESULTS)
    add("--make-peers", action="store_true", help="build build/peers, and stop")
    add("--quick", action="store_true", help="three small flows, two minutes")
    add("--only", default="", help="flows whose names contain this; the rest of the table stays")
    add("--methods", nargs="*", default=("",), help="whose names contain one of these")
    add("--report", action="store_true", help="figures and goals of the stored tables")
    options = parser.parse_args()
    if options.make_peers:
        return make_peers()
    table = options.out / "races.csv"
    if not options.report:
        there, began, rows = find_peers(), time.perf_counter(), []
        for name in QUICK if options.quick else (name for name in FLOWS if options.only in name):
            print(f"== {name}", flush=True)
            rows += race(name, FLOWS[name], tuple(options.methods), there)
            jax.clear_caches()
        if options.only and table.exists():  # the others stay as they are
            others = [row for row in read_table(table) if options.only not in row["flow"]]
            order = list(FLOWS)
            rows = sorted(others + rows, key=lambda row: order.index(row["flow"]))
        write_table(table, rows, COLUMNS)
        (options.out / "races.md").write_text(goals.tables(rows, about(there, began)))
    draw(read_table(table), options.out)
    print(goals.write(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
