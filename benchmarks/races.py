"""Work and precision: faflow beside every solver a theorist would reach for, in one run.

`make benchmarks`, or `python benchmarks/races.py` in the development environment after
`python benchmarks/races.py --make-peers` (build/peers; without it its methods are left out, and the
tables say so). Flows: flows.py. Methods: methods.py and torch_peers.py. Everything runs in float64
on one thread.

Every method runs over a ladder of tolerances (atol = rtol / 100; fixed steps: over step sizes).
Seconds are CPU seconds of compiled runs, the least of three, or of one where that takes a second.
Methods are compared at equal error of all final weights, ||W - W*|| / ||W*||, W* by faflow's
dopri8 at 1e-13, which the errors of the peers confirm: cost is interpolated log-log in the ladder,
or, where a method is always more exact, that of its cheapest run. Writes results/races.{csv,md}, a
figure per flow and the goals with their verdicts.
"""

import argparse
import csv
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {os.environ.get('XLA_FLAGS', '')}"

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)

import goals  # noqa: E402
import numpy as np  # noqa: E402
from drawing import draw  # noqa: E402
from flows import FLOWS, Flow  # noqa: E402
from methods import (  # noqa: E402
    SECONDS,
    Fields,
    cvode,
    fixed_steps,
    own,
    plain_diffrax,
    scipy_method,
)
from relu_methods import machine_line  # noqa: E402

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "build" / "peers"
OWN = ("auto", "tsit5", "dopri8", "bdf", "bdf-krylov")
DIFFRAX = {"diffrax Tsit5": "tsit5", "diffrax Kvaerno5": "kvaerno5"}
SCIPY = {"SciPy DOP853": ("DOP853", False), "SciPy LSODA": ("LSODA", False),
         "LSODA + J": ("LSODA", True), "SciPy BDF + J": ("BDF", True),
         "SciPy Radau + J": ("Radau", True)}  # fmt: skip
CVODE = {"CVODE BDF-GMRES": "BDF", "CVODE Adams": "Adams"}
FIXED = {"Euler": "euler", "Heun": "heun", "RK4": "rk4"}
TORCH = ("torchdiffeq dopri5", "torchode dopri5")
RTOLS = tuple(10.0**-k for k in range(3, 13))
SHARES = tuple(2.0**-k for k in range(5, 24, 2))  # of t1, fixed steps
COLUMNS = ("flow", "method", "rtol", "error", "seconds", "evaluations", "products", "jacobians",
           "accepted", "rejected", "why")  # fmt: skip


def ladder(flow: Flow, name: str, method: str, run, rungs, reference) -> list[dict]:
    """One row per rung, loosest first, until exact enough, out of time, or broken."""
    rows = []
    for rung in rungs:
        if not rows:
            run(rung)  # compiles
        began, seconds = time.perf_counter(), []
        while len(seconds) < (3 if sum(seconds) < 1 else 1):
            start = time.process_time()
            state, counts = run(rung)
            seconds.append(time.process_time() - start)
        rows.append(row_of(name, method, rung, state, min(seconds), counts, reference))
        shown(rows[-1])
        fixed = method in FIXED
        enough = rows[-1]["error"] is not None and rows[-1]["error"] < min(flow.errors) / 3
        most = SECONDS / 20 if fixed else SECONDS / 4  # the next rung takes four times as long
        late = time.perf_counter() - began > SECONDS or rows[-1]["seconds"] > most
        if enough or late or (state is None and not fixed):
            break
    return rows


def row_of(name, method, rung, state, seconds, counts, reference) -> dict:
    error = None
    if state is not None:
        error = float(np.linalg.norm(state - reference) / np.linalg.norm(reference))
        if not np.isfinite(error) or error > 1:
            error = None
    return {"flow": name, "method": method, "rtol": rung, "error": error, "seconds": seconds,
            **counts}  # fmt: skip


def shown(row: dict) -> None:
    cells = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items() if v is not None}
    print("  ".join(f"{k}={v}" for k, v in cells.items() if k != "flow"), flush=True)


def race(name: str, flow: Flow, wanted: tuple[str, ...], there: bool) -> list[dict]:
    problem = flow.make()
    reference, counts = own(problem, flow.t1, "dopri8")(1e-13)
    assert reference is not None, counts
    fields = Fields(problem)
    fields(0.0, fields.start), fields.jacobian(0.0, fields.start)
    runs = {f"faflow {solver}": own(problem, flow.t1, solver) for solver in OWN}
    runs |= {label: plain_diffrax(problem, flow.t1, solver) for label, solver in DIFFRAX.items()}
    runs |= {label: scipy_method(fields, flow.t1, *how) for label, how in SCIPY.items()}
    if there:
        runs |= {label: cvode(fields, flow.t1, how) for label, how in CVODE.items()}
    runs |= {label: fixed_steps(fields, flow.t1, how) for label, how in FIXED.items()}
    rows = []
    for method, run in runs.items():
        if method in flow.slow or not any(text in method for text in wanted):
            continue
        rungs = SHARES if method in FIXED else RTOLS
        rows += ladder(flow, name, method, run, rungs, reference)
    if there and any(text in method for text in wanted for method in TORCH):
        rows += torch_rows(name, flow, problem, fields, reference)
    rows += paired(name, flow, problem, reference)
    return rows


def paired(name: str, flow: Flow, problem, reference) -> list[dict]:
    """tsit5 of faflow and of plain diffrax turn by turn at one tolerance, the least of many."""
    if flow.stiff:
        return []
    runs = {"paired faflow tsit5": own(problem, flow.t1, "tsit5"),
            "paired diffrax Tsit5": plain_diffrax(problem, flow.t1, "tsit5")}  # fmt: skip
    rows, least, found = [], dict.fromkeys(runs, np.inf), {}
    for _ in range(15):
        for method, run in runs.items():
            start = time.process_time()
            found[method] = run(1e-8)
            least[method] = min(least[method], time.process_time() - start)
    for method, (state, counts) in found.items():
        rows.append(row_of(name, method, 1e-8, state, least[method], counts, reference))
        shown(rows[-1])
    return rows


def torch_rows(name: str, flow: Flow, problem, fields: Fields, reference) -> list[dict]:
    """The ladder in the peers' environment; its field must be the rule's."""
    net, data = problem.weights, problem.data
    tolerances = [10.0**-k for k in range(4, 11, 2 if flow.stiff else 1)]
    task = {
        "layers": len(net.weights), "X": data.inputs, "Y": data.targets, "weight": data.weight,
        "activation": type(net.activation).__name__, "t1": flow.t1, "tolerances": tolerances,
        "softmax": type(data.loss).__name__ == "CrossEntropy", "seconds": SECONDS,
    }  # fmt: skip
    task |= {f"W{l}": w for l, w in enumerate(net.weights, start=1)}
    task |= {f"b{l}": b for l, b in enumerate(net.biases, start=1)}
    task |= {f"F{l}": m for l, m in enumerate(problem.feedback.matrices, start=2)}
    with tempfile.TemporaryDirectory() as folder:
        given, got = Path(folder, "task.npz"), Path(folder, "results.npz")
        np.savez(given, **{key: np.asarray(value) for key, value in task.items()})
        python = PEERS / "bin" / "python"
        subprocess.run([python, HERE / "torch_peers.py", given, got], check=True)
        found = dict(np.load(got))
    fields.begin()
    np.testing.assert_allclose(found["slope"], fields(0.0, fields.start), rtol=1e-9, atol=1e-12)
    rows = []
    for method, tol in itertools.product(TORCH, tolerances):
        key = f"{method}/{tol:.0e}"
        if f"{key}/flat" not in found:
            continue
        why = str(found[f"{key}/why"])
        counts = {"evaluations": int(found[f"{key}/evaluations"])} | ({"why": why} if why else {})
        state = None if why else found[f"{key}/flat"]
        rows.append(row_of(name, method, tol, state, float(found[f"{key}/seconds"]), counts,
                           reference))  # fmt: skip
        shown(rows[-1])
    return rows


def make_peers() -> int:
    """A virtual environment with benchmarks/peers.txt in build/peers."""
    venv.create(PEERS, with_pip=True, clear=True)
    pip = [PEERS / "bin" / "python", "-m", "pip", "-qq", "install", "-r"]
    return subprocess.run([*pip, HERE / "peers.txt"]).returncode


def find_peers() -> bool:
    """scikit-sundae needs numpy and scipy alone: its folder behind this environment's is enough."""
    folders = [str(path) for path in PEERS.glob("lib/python*/site-packages")]
    sys.path += folders
    try:
        import sksundae.cvode  # noqa: F401
    except ImportError:
        return False
    finally:
        for folder in folders:
            sys.path.remove(folder)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--make-peers", action="store_true")
    parser.add_argument("--only", default="", help="flows whose names contain this")
    parser.add_argument("--methods", nargs="*", default=("",), help="whose names contain one")
    parser.add_argument(
        "--report", action="store_true", help="tables and figures of the stored csv"
    )
    options = parser.parse_args()
    if options.make_peers:
        return make_peers()
    there, table = find_peers(), options.out / "races.csv"
    options.out.mkdir(parents=True, exist_ok=True)
    if options.report:
        rows = goals.read(table)
        began = None
    else:
        rows, began = [], time.perf_counter()
        for name in (name for name in FLOWS if options.only in name):
            print(f"== {name}", flush=True)
            rows += race(name, FLOWS[name], tuple(options.methods), there)
            jax.clear_caches()
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    lines = [machine_line() + ", one thread."]
    if began is not None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        lines.append(f"{(time.perf_counter() - began) / 60:.0f} minutes, at most {most:.1f} GiB.")
    if not there:
        lines.append("build/peers is not there: CVODE, torchdiffeq and torchode are missing.")
    text = goals.report(rows, lines)
    (options.out / "races.md").write_text(text)
    draw(rows, options.out)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
