"""Standing races: dear fields, which Adams' methods are for, and long and hard flows.

`python benchmarks/standing.py` (development environment; with the peers of races.py where they are)
writes results/standing.{csv,md}; `--only TEXT` renews the flows whose name holds it. Calls are
evaluations of the field and products with its Jacobian (those by which CVODE multiplies are
evaluations): they do not depend on how busy a machine is. Seconds are CPU seconds, compiled, the
least of up to three. Errors are of all weights at T, relative, against dopri8 at 1e-13 or, of stiff
flows, SciPy's Radau with the Jacobian at 1e-12. A run of a peer has the seconds that its race gives
it; a method that has not come to an error by then is not tried at smaller ones.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flows import FA, FLOWS, GD, Flow, digits, student
from machine import find_peers, machine_line, peer_versions
from measuring import (
    RESULTS,
    Judge,
    Run,
    against,
    cost_at,
    markdown,
    measure,
    read_table,
    shown,
    write_report,
    write_table,
)
from methods import Fields, cvode, lsoda, own, plain_diffrax, scipy_method
from models import KEY
from races import torch_rows

from faflow.feedback import Feedback, model_feedback
from faflow.feedback.draw import Gaussian
from faflow.flow import FlowProblem
from faflow.networks import MLP, Model
from faflow.networks.models import CNN, Transformer
from faflow.rules import RULES
from faflow.tasks import make_data

OWN = ("tsit5", "dopri8", "adams", "bdf", "auto")
CVODE = {"CVODE BDF-GMRES": "BDF", "CVODE Adams": "Adams"}
LSODA = {"LSODA, differences": False, "LSODA + J": True}
DIFFRAX = {"diffrax Tsit5": "tsit5", "diffrax Kvaerno5": "kvaerno5"}
METHODS = (*(f"faflow {name}" for name in OWN), *CVODE, *LSODA, *DIFFRAX, "torchdiffeq dopri5")
COUNTED = (*METHODS[:5], *CVODE)  # in the table of calls
DENSE = (*LSODA, "diffrax Kvaerno5")  # have matrices of weights by weights
RTOLS = (1e-5, 1e-7, 1e-9, 1e-10)
ERRORS = (1e-6, 1e-9)
SECONDS = 6.0  # that a peer may take for one run, unless its race says otherwise
LARGE = 1000  # weights beyond which methods with dense matrices are left out
COLUMNS = ("flow", "method", "rtol", "error", "seconds", "calls", "evaluations", "products",
           "jacobians", "accepted", "rejected", "legs", "why")  # fmt: skip


class Race(NamedTuple):
    """`make` the problem and integrate it to `t1`, by explicit methods of ours too unless it is
    `stiff`. `seconds`: of a peer's run. `left_out`: methods that would only be stopped."""

    make: Callable[[], FlowProblem]
    t1: float
    stiff: bool = False
    errors: tuple[float, ...] = ERRORS
    seconds: float = SECONDS
    left_out: tuple[str, ...] = ()


def of_model(rule: str, net, shape: tuple[int, ...], samples: int = 64) -> FlowProblem:
    """A model on gaussian inputs and targets, mean squared loss."""
    rng, model, learn = np.random.default_rng(0), Model(net), RULES[rule]()
    inputs = rng.standard_normal((samples, *shape))
    outputs = jax.eval_shape(model, jnp.asarray(inputs)).shape[1]
    data = make_data(inputs, rng.standard_normal((samples, outputs)), reduction="mean")
    back = Feedback()
    if learn.form != "none":
        back = model_feedback(Gaussian(), KEY, model, data.inputs, learn.form)
    return FlowProblem(learn, model, back, data)


def saddles(scale: float) -> FlowProblem:
    """Deep linear, 8-8-8-4 from `scale` N(0, 1 / fan-in): one saddle after another."""
    rng = np.random.default_rng(0)
    shapes = [(8, 8), (8, 8), (4, 8)]
    target = np.linalg.qr(rng.standard_normal((8, 4)))[0] @ np.diag([4.0, 3.0, 2.0, 1.0])
    net = MLP(tuple(jnp.asarray(scale * rng.standard_normal(s) / s[1] ** 0.5) for s in shapes))
    data = make_data(np.eye(8), target, "squared", "sum")
    return FlowProblem(RULES[GD](), net, Feedback(), data)


RACES = {
    "digits softmax 64-100-10, T = 100": Race(digits, 100.0, seconds=2 * SECONDS),
    "digits 64-160-10 FA, T = 1e3": Race(lambda: digits(FA, 160, 500), 1e3),
    "784-256-10 softmax FA, T = 20": Race(
        FLOWS["784-256-10 softmax FA"].make, 20.0, errors=(1e-6,), seconds=3 * SECONDS
    ),
    "transformer block, T = 20": Race(
        lambda: of_model(GD, Transformer(4, 2, key=KEY), (16, 4)), 20.0
    ),
    "CNN 1x8x8 tanh FA, T = 20": Race(
        lambda: of_model(FA, CNN((1, 8, 8), 10, key=KEY, activation="tanh"), (1, 8, 8)), 20.0
    ),
    "saddles, deep linear from 1e-2, T = 200": Race(lambda: saddles(1e-2), 200.0),
    "saddles, deep linear from 1e-4, T = 2e4": Race(
        lambda: saddles(1e-4), 2e4, stiff=True
    ),
    "teacher tanh 5-10-1, T = 1e7": Race(
        lambda: student((5, 10, 1), (5, 10, 1), 256, "tanh"), 1e7, stiff=True,
        left_out=("diffrax Tsit5",),
    ),
    "tanh 30-10-1, input scales 1 ... 1e-4, T = 1e4": Race(
        lambda: student((30, 10, 1), (30, 10, 1), 100, "tanh", scales=np.geomspace(1, 1e-4, 30)),
        1e4, stiff=True,
    ),
    "cross-entropy 10-8-3 to a loss of 1e-6, T = 5.24e5": Race(
        lambda: student((10, 8, 3), (10, 3), 40, "tanh", classes=True), 5.24e5
    ),
}  # fmt: skip


def race(name: str, there: bool) -> list[dict]:
    one = RACES[name]
    problem = one.make()
    fields = Fields(problem, one.seconds)
    exact = scipy_method(Fields(problem, 1e4), one.t1, "Radau", True) if one.stiff else own(
        problem, one.t1, "dopri8"
    )  # fmt: skip
    reference, counts = exact(1e-12 if one.stiff else 1e-13)
    assert reference is not None, counts
    judge, rows = against(reference), []
    fields.begin()  # the reference took its time
    fields(0.0, fields.start)
    if reference.size <= LARGE:
        fields.jacobian(0.0, fields.start)
    for method, run in runs(one, problem, fields, reference.size, there).items():
        rows += ladder(name, method, run, judge)
    if there and isinstance(problem.weights, MLP):
        flow = Flow(one.make, one.t1, False, one.errors, budget=2 * one.seconds)
        rows += torch_rows(
            name, flow, problem, fields, reference, judge, one.seconds, RTOLS, METHODS[-1:]
        )
    for row in rows:
        row["calls"] = (row.get("evaluations") or 0) + (row.get("products") or 0)
    return rows


def runs(one: Race, problem: FlowProblem, fields: Fields, size: int, there: bool) -> dict[str, Run]:
    """The methods that are raced in this process."""
    t1 = one.t1
    mine = OWN[3:] if one.stiff else OWN
    found = {f"faflow {solver}": own(problem, t1, solver) for solver in mine}
    found |= {m: cvode(fields, t1, how) for m, how in CVODE.items() if there}
    found |= {m: lsoda(fields, t1, jacobian) for m, jacobian in LSODA.items()}
    found |= {m: plain_diffrax(problem, t1, how) for m, how in DIFFRAX.items()}
    left_out = {*one.left_out, *(DENSE if size > LARGE else ())}
    # Implicit steps of an explicit race, and models, whose leaves its root finder does not take.
    if not one.stiff or not isinstance(problem.weights, MLP):
        left_out.add("diffrax Kvaerno5")
    return {method: run for method, run in found.items() if method not in left_out}


def ladder(name: str, method: str, run: Run, judge: Judge) -> list[dict]:
    """One row per tolerance, until exact enough or the run failed."""
    found, errors, most = [], RACES[name].errors, RACES[name].seconds
    if method.startswith(("faflow", "diffrax")):
        run(RTOLS[0], 1.0 if "auto" in method else 1e-6)  # compiles
    for rtol in RTOLS:
        found.append({"flow": name, "method": method, **measure(run, rtol, judge)})
        shown(found[-1])
        error = found[-1]["error"]
        late = not method.startswith("faflow") and found[-1]["seconds"] > most
        if error is None or error < min(errors) / 3 or late:
            break
    return found


def table(rows: list[dict]) -> list[str]:
    """Calls at each error, and how many times fewer than by tsit5."""
    texts = []
    for name, error, costs in compared(rows, COUNTED, "calls"):
        first, cells = costs["faflow tsit5"], []
        for cost in costs.values():
            less = f" ({first / cost:.2g})" if first and cost and cost != first else ""
            cells.append("-" if cost is None else f"{cost:.0f}{less}")
        texts.append([name, error, *cells])
    return markdown(["flow", "error", *(m.removeprefix("faflow ") for m in COUNTED)], texts)


def seconds(rows: list[dict]) -> list[str]:
    """CPU seconds of the best of faflow's at each error, and of the peers over it."""
    texts, peers = [], METHODS[len(OWN) :]
    for name, error, costs in compared(rows, METHODS, "seconds"):
        ours = {cost: m for m, cost in costs.items() if m.startswith("faflow") and cost}
        least = min(ours, default=None)
        cells = ["-" if least is None else f"{least:.3g} ({ours[least].removeprefix('faflow ')})"]
        for method in peers:
            mine = [r for r in rows if (r["flow"], r["method"]) == (name, method)]
            cost = costs[method]
            cells.append(
                f"{cost / least:.2g}" if cost and least else str(mine[-1].get("why") or "late")
                if mine else "-"
            )  # fmt: skip
        texts.append([name, error, *cells])
    return markdown(["flow", "error", "faflow, s", *peers], texts)


def compared(rows: list[dict], methods: tuple[str, ...], key: str):
    """Of every flow and error: (flow, error, {method: cost})."""
    for name in (name for name in RACES if any(row["flow"] == name for row in rows)):
        for error in RACES[name].errors:
            mine = {m: [r for r in rows if (r["flow"], r["method"]) == (name, m)] for m in methods}
            yield name, f"{error:.0e}", {m: cost_at(r, error, key) for m, r in mine.items()}


def report(rows: list[dict]) -> list[str]:
    lines = ["# Standing races", "", f"{machine_line(peer_versions())}.", ""]
    lines += [
        "Evaluations and products with the Jacobian to an error of the final weights; in "
        "parentheses how many times fewer than by tsit5. A bar: not that exact, or not raced.", "",
        *table(rows), "",
        "CPU seconds of the best of faflow's solvers, and of the peers over that; a peer has "
        f"{SECONDS:g} s for a run, on the first flow {2 * SECONDS:g} and on the third "
        f"{3 * SECONDS:g}. Left out (a bar): methods with matrices of weights by weights "
        f"beyond {LARGE} weights, Tsit5 at T = 1e7, and by torchdiffeq models, which are not "
        "written out for it.", "",
        *seconds(rows),
    ]  # fmt: skip
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", default="", metavar="TEXT", help="flows whose name holds TEXT")
    parser.add_argument("--report", action="store_true", help="the text of the stored table")
    options = parser.parse_args()
    there, rows = find_peers(), []
    kept = options.out / "standing.csv"
    if (options.only or options.report) and kept.exists():
        rows = [r for r in read_table(kept) if options.report or options.only not in r["flow"]]
    for name in (name for name in RACES if options.only in name and not options.report):
        print(f"== {name}", flush=True)
        rows += race(name, there)
        jax.clear_caches()
        write_table(kept, rows, COLUMNS)
    write_report(options.out / "standing.md", report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
