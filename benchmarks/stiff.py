"""Stiff flows at equal error: faflow's BDF against CVODE, LSODA, SciPy's BDF and Runge-Kutta.

`python benchmarks/stiff.py --make-peers` once (scikit-sundae into build/peers), then
`python benchmarks/stiff.py` in the development environment. All peers get the same jitted field
in float64, LSODA and SciPy's BDF its dense Jacobian too; CVODE is BDF with GMRES at its defaults.
Every method runs over a ladder of tolerances (atol = rtol / 100); seconds are the CPU time of the
process, the least of three runs, and are read off at equal error by interpolating log seconds in
log error. Writes results/stiff.csv and stiff.md.
"""

import argparse
import csv
import itertools
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from relu_methods import machine_line  # noqa: E402
from scipy.integrate import solve_ivp  # noqa: E402

from faflow.feedback import Feedback  # noqa: E402
from faflow.flow import FlowProblem, Numerics, integrate  # noqa: E402
from faflow.flow.multistep import flat_field  # noqa: E402
from faflow.networks import ACTIVATIONS, MLP  # noqa: E402
from faflow.rules import RULES  # noqa: E402
from faflow.solvers import counts_evaluations  # noqa: E402
from faflow.tasks import make_data  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build" / "peers"
REPEATS = 3
GOALS = (1e-6, 1e-9)
RTOLS = tuple(10.0**-k for k in range(4, 13))
COLUMNS = ("problem", "method", "rtol", "error", "milliseconds", "accepted", "rejected",
           "evaluations", "iterations", "products", "jacobians", "factorisations")  # fmt: skip


def student(widths, teacher, samples, activation, *, rule="gradient", scales=None, seed=0):
    """A student of `widths` with biases, targets from a teacher network of the same kind.

    Weights N(0, 1 / fan-in), biases N(0, 0.1^2), inputs N(0, 1) times `scales`, feedback
    N(0, 1 / columns), mean squared loss; one generator draws teacher, student, inputs, feedback.
    """
    rng = np.random.default_rng(seed)

    def net(sizes):
        shapes = [(rows, columns) for columns, rows in itertools.pairwise(sizes)]
        weights = tuple(jnp.asarray(rng.standard_normal(s) / s[1] ** 0.5) for s in shapes)
        biases = tuple(jnp.asarray(0.1 * rng.standard_normal(s[0])) for s in shapes)
        return MLP(weights, biases, ACTIVATIONS[activation]())

    target, start = net(teacher), net(widths)
    inputs = rng.standard_normal((samples, widths[0])) * (1.0 if scales is None else scales)
    shapes = [w.shape for w in start.weights[1:]] if rule == "feedback-alignment" else []
    feedback = tuple(jnp.asarray(rng.standard_normal(s) / s[1] ** 0.5) for s in shapes)
    learn = RULES[rule]()
    data = make_data(inputs, np.asarray(target(jnp.asarray(inputs))), "squared", "mean")
    return FlowProblem(learn, start, Feedback(feedback, learn.form), data)


SCALES = np.geomspace(1.0, 10**-2.5, 30)
PROBLEMS: dict[str, tuple[Callable[[], FlowProblem], float]] = {
    "R10 tanh 30-10-1": (
        lambda: student((30, 10, 1), (30, 10, 1), 100, "tanh", scales=SCALES),
        1e4,
    ),
    "FA tanh 30-10-2": (
        lambda: student(
            (30, 10, 2), (30, 10, 2), 100, "tanh", scales=SCALES, rule="feedback-alignment"
        ),
        1e4,
    ),
    "R6 softplus 2-8-1": (lambda: student((2, 8, 1), (2, 4, 1), 10_000, "softplus"), 100.0),
    "R7 softplus 4-100-1": (lambda: student((4, 100, 1), (4, 4, 1), 10_000, "softplus"), 5.0),
}
LEFT_OUT = {"R7 softplus 4-100-1": {"kvaerno5"}}  # hours: a Jacobian per step, column by column


def own(solver: str) -> Callable:
    def run(problem, t1, rtol):
        numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100, max_steps=2_000_000)
        end = integrate(problem, jnp.array([0.0, t1]), {}, numerics, throw=False)
        parts = jax.tree.leaves(jax.block_until_ready(end.weights))
        counts = {k: int(v) for k, v in end.counts._asdict().items() if k != "implicit"}
        if end.counts.implicit is not None:
            counts |= {k: int(v) for k, v in end.counts.implicit._asdict().items()}
        if not counts_evaluations(numerics.build_solver()):
            del counts["evaluations"]
        ended = int(end.outcome) == 0
        return np.concatenate([np.ravel(part) for part in parts]) if ended else None, counts

    return run


class Fields:
    """The jitted field and Jacobian of a problem, as callbacks that count."""

    def __init__(self, problem: FlowProblem):
        field, jacobian, start = flat_field(problem)
        self.start = np.asarray(start)
        self._field, self._jacobian = jax.jit(field), jax.jit(jacobian)
        self.evaluations = self.jacobians = 0

    def field(self, t, y):
        self.evaluations += 1
        return np.asarray(self._field(0.0, y))

    def jacobian(self, t, y):
        self.jacobians += 1
        return np.asarray(self._jacobian(0.0, y))

    def counts(self) -> dict:
        return {"evaluations": self.evaluations, "jacobians": self.jacobians}


def scipy_method(method: str) -> Callable:
    def run(fields, t1, rtol):
        fields.evaluations = fields.jacobians = 0
        end = solve_ivp(
            fields.field, (0.0, t1), fields.start, method, jac=fields.jacobian,
            rtol=rtol, atol=rtol / 100,
        )  # fmt: skip
        return end.y[:, -1] if end.success else None, fields.counts() | {"accepted": len(end.t) - 1}

    return run


def cvode(fields, t1, rtol):
    from sksundae.cvode import CVODE

    fields.evaluations = fields.jacobians = 0

    def call(t, y, slope):
        slope[:] = fields.field(t, y)

    solver = CVODE(
        call, method="BDF", linsolver="gmres", rtol=rtol, atol=rtol / 100, max_num_steps=10**7
    )
    end = solver.solve(np.array([0.0, t1]), fields.start)
    return end.y[-1] if end.success else None, fields.counts()


OWN = ("bdf", "bdf-dense", "bdf-krylov", "tsit5", "kvaerno5")
PEER = {"CVODE BDF-GMRES": cvode, "LSODA + J": scipy_method("LSODA"),
        "SciPy BDF + J": scipy_method("BDF")}  # fmt: skip
SLOW = {"kvaerno5", "SciPy BDF + J"}  # one run each, and not at the tightest tolerances


def measure(run: Callable, given, t1: float, rtol: float, reference, repeats: int) -> dict:
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        state, counts = run(given, t1, rtol)
        best = min(best, time.process_time() - start)
    error = np.nan
    if state is not None:
        error = float(np.linalg.norm(state - reference) / np.linalg.norm(reference))
    return {"rtol": rtol, "error": error, "milliseconds": 1e3 * best, **counts}


def at_error(rows: list[dict], goal: float, key: str = "milliseconds") -> float:
    """log `key` interpolated linearly in log error; nan where the ladder does not reach."""
    good = sorted((r["error"], r[key]) for r in rows if 0 < r["error"] < 1 and r.get(key))
    for (low, cost), (high, cheap) in itertools.pairwise(good):
        if low <= goal <= high:
            share = np.log(goal / low) / np.log(high / low)
            return float(np.exp((1 - share) * np.log(cost) + share * np.log(cheap)))
    return float("nan")


def race(name: str, methods: list[str], rtols, budget: float) -> list[dict]:
    make, t1 = PROBLEMS[name]
    problem = make()
    fields = Fields(problem)
    fields.field(0.0, fields.start), fields.jacobian(0.0, fields.start)
    reference, _ = own("dopri8")(problem, t1, 1e-13)
    rows = []
    for method in (m for m in methods if m not in LEFT_OUT.get(name, ())):
        run, given = (PEER[method], fields) if method in PEER else (own(method), problem)
        if method not in PEER:
            run(given, t1, 1e-2)  # compiles
        for rtol in rtols:
            start = time.perf_counter()
            repeats = 1 if method in SLOW else REPEATS
            rows.append({"problem": name, "method": method}
                        | measure(run, given, t1, rtol, reference, repeats))  # fmt: skip
            cells = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in rows[-1].items()}
            print("; ".join(f"{k} {v}" for k, v in cells.items() if k != "problem"), flush=True)
            if time.perf_counter() - start > budget or rows[-1]["error"] < min(GOALS) / 3:
                break
    return rows


def make_peers() -> None:
    venv.create(PEERS, with_pip=True)
    subprocess.run([PEERS / "bin" / "python", "-m", "pip", "install", "-q", "scikit-sundae"],
                   check=True)  # fmt: skip


def find_peers() -> bool:
    """scikit-sundae needs numpy and scipy alone: its folder behind this environment's is enough."""
    sys.path += [str(path) for path in PEERS.glob("lib/python*/site-packages")]
    try:
        import sksundae  # noqa: F401
    except ImportError:
        return False
    return True


def report(rows: list[dict], there: bool) -> str:
    lines = ["# Stiff flows at equal weight error", "", machine_line() + ".", ""]
    if not there:
        lines += ["CVODE is missing: scikit-sundae was not installed.", ""]
    lines += [
        "CPU milliseconds (field evaluations / Jacobian products / Jacobians) at equal relative "
        "error of all weights, interpolated; and milliseconds over those of `bdf`.",
        "",
    ]
    for name in dict.fromkeys(row["problem"] for row in rows):
        mine = [row for row in rows if row["problem"] == name]
        lines += [f"## {name}", "", "| method |" + "".join(f" {g:g} | ratio |" for g in GOALS),
                  "|---" * (1 + 2 * len(GOALS)) + "|"]  # fmt: skip
        methods = {m: [r for r in mine if r["method"] == m] for m in {r["method"]: 0 for r in mine}}
        best = {goal: at_error(methods.get("bdf", []), goal) for goal in GOALS}
        for method, ladder in methods.items():
            cells = ""
            for goal in GOALS:
                ms = at_error(ladder, goal)
                counts = " / ".join(
                    f"{value:.0f}" if np.isfinite(value) else "-"
                    for value in (at_error(ladder, goal, key)
                                  for key in ("evaluations", "products", "jacobians"))
                )  # fmt: skip
                cells += f" {ms:.3g} ({counts}) | {ms / best[goal]:.2g} |"
            lines.append(f"| {method} |{cells}")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--make-peers", action="store_true")
    parser.add_argument("--only", default="", help="problems whose names contain this")
    parser.add_argument("--methods", nargs="*", default=[*OWN, *PEER])
    parser.add_argument("--rtols", nargs="*", type=float, default=RTOLS)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a tolerance may take")
    options = parser.parse_args()
    if options.make_peers:
        make_peers()
        return 0
    there = find_peers()
    methods = [m for m in options.methods if there or m != "CVODE BDF-GMRES"]
    rows = []
    options.out.mkdir(parents=True, exist_ok=True)
    for name in (name for name in PROBLEMS if options.only in name):
        print(name, flush=True)
        rows += race(name, methods, options.rtols, options.budget)
        jax.clear_caches()
        with (options.out / "stiff.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)
        (options.out / "stiff.md").write_text(report(rows, there) + "\n")
    print(report(rows, there))
    return 0


if __name__ == "__main__":
    sys.exit(main())
