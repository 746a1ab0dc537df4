"""Standing races in counts: what dear fields cost by Adams' methods, and long and hard flows.

`python benchmarks/standing.py` (development environment; ten minutes) writes results/standing.
{csv,md}; `--only TEXT` renews the flows whose name holds it. Calls are evaluations of the field and
products with its Jacobian (those by which CVODE multiplies are evaluations); errors are of all
weights at T, relative, against dopri8 at 1e-13 or, of stiff flows, SciPy's Radau with the Jacobian
at 1e-12. Counts do not depend on how busy a machine is; seconds are CPU seconds, compiled.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flows import FA, FLOWS, GD, digits, student
from machine import find_peers, machine_line
from measuring import RESULTS, against, cost_at, markdown, measure, read_table, shown, write_table
from methods import Fields, cvode, own, scipy_method
from models import KEY

from faflow.feedback import Feedback, model_feedback
from faflow.feedback.draw import Gaussian
from faflow.flow import FlowProblem
from faflow.networks import MLP, Model
from faflow.networks.models import CNN, Transformer
from faflow.rules import RULES
from faflow.tasks import make_data

EXPLICIT = ("tsit5", "dopri8", "adams", "CVODE Adams")
STIFF = ("bdf", "auto", "CVODE BDF-GMRES")
RTOLS = tuple(10.0**-k for k in range(4, 11))
ERRORS = (1e-6, 1e-9)
SECONDS = 60.0  # that a peer may take for one run
COLUMNS = ("flow", "method", "rtol", "error", "seconds", "calls", "evaluations", "products",
           "jacobians", "accepted", "rejected", "legs", "why")  # fmt: skip


class Race(NamedTuple):
    """`make` the problem and integrate it to `t1`, by explicit methods too unless it is `stiff`."""

    make: Callable[[], FlowProblem]
    t1: float
    stiff: bool = False


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
    "digits softmax 64-100-10, T = 100": Race(digits, 100.0),
    "digits 64-160-10 FA, T = 1e3": Race(lambda: digits(FA, 160, 500), 1e3),
    "784-256-10 softmax FA, T = 20": Race(FLOWS["784-256-10 softmax FA"].make, 20.0),
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
        lambda: student((5, 10, 1), (5, 10, 1), 256, "tanh"), 1e7, stiff=True
    ),
    "tanh 30-10-1, input scales 1 ... 1e-4, T = 1e4": Race(
        lambda: student((30, 10, 1), (30, 10, 1), 100, "tanh", scales=np.geomspace(1, 1e-4, 30)),
        1e4, stiff=True,
    ),
    "cross-entropy 10-8-3 to a loss of 1e-6, T = 5.24e5": Race(
        lambda: student((10, 8, 3), (10, 3), 40, "tanh", classes=True), 5.24e5, stiff=True
    ),
}  # fmt: skip


def race(name: str, there: bool) -> list[dict]:
    problem, t1, stiff = RACES[name].make(), RACES[name].t1, RACES[name].stiff
    fields, found = Fields(problem, SECONDS), []
    exact = scipy_method(Fields(problem, 1e4), t1, "Radau", True) if stiff else own(
        problem, t1, "dopri8"
    )  # fmt: skip
    reference, counts = exact(1e-12 if stiff else 1e-13)
    assert reference is not None, counts
    for method in STIFF if stiff else (*EXPLICIT, *STIFF):
        if method.startswith("CVODE"):
            if not there:
                continue
            run = cvode(fields, t1, method.split()[1].split("-")[0])
        else:
            run = own(problem, t1, method)
            run(RTOLS[0], 1.0 if method == "auto" else 1e-6)  # compiles
        for rtol in RTOLS:
            row = measure(run, rtol, against(reference), repeats=1)
            calls = (row.get("evaluations") or 0) + (row.get("products") or 0)
            found.append({"flow": name, "method": method, **row, "calls": calls})
            shown(found[-1])
            if row["error"] is None or row["error"] < min(ERRORS) / 3:
                break
    return found


def table(rows: list[dict]) -> list[str]:
    """Calls at each error, and how many times fewer than by Tsit5."""
    methods = (*EXPLICIT, *STIFF)
    lines, texts = [], []
    for name in (name for name in RACES if any(row["flow"] == name for row in rows)):
        for error in ERRORS:
            mine = {m: [r for r in rows if (r["flow"], r["method"]) == (name, m)] for m in methods}
            costs = {m: cost_at(found, error, "calls") for m, found in mine.items()}
            first, cells = costs["tsit5"], []
            for method, cost in costs.items():
                less = f" ({first / cost:.2g})" if first and cost and method != "tsit5" else ""
                cells.append("-" if cost is None else f"{cost:.0f}{less}")
            texts.append([name, f"{error:.0e}", *cells])
    lines += markdown(["flow", "error", *methods], texts)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", default="", metavar="TEXT", help="flows whose name holds TEXT")
    options = parser.parse_args()
    there, rows = find_peers(), []
    kept = options.out / "standing.csv"
    if options.only and kept.exists():
        rows = [row for row in read_table(kept) if options.only not in row["flow"]]
    for name in (name for name in RACES if options.only in name):
        print(f"== {name}", flush=True)
        rows += race(name, there)
        jax.clear_caches()
        write_table(kept, rows, COLUMNS)
    lines = ["# Standing races, in calls of the field", "", f"{machine_line()}.", ""]
    lines += [
        "Evaluations and products with the Jacobian to an error of the final weights; in "
        "parentheses how many times fewer than by tsit5. A bar: not that exact, or not raced.",
        "",
    ]
    text = "\n".join([*lines, *table(rows)]) + "\n"
    (options.out / "standing.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
