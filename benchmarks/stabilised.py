"""Stabilised explicit Runge-Kutta (rkc2) against Tsit5 on flows that turn stiff: field evaluations
to reach an error of the final weights.

`python benchmarks/stabilised.py` (`--quick`: the small flows alone) writes
`results/stabilised.{csv,md}`. Every flow can be rebuilt: sizes and seeds are here. The reference is
Kvaerno5 at 1e-10 for the small flows, Tsit5 at 1e-8 for the large. Evaluations to an error are
interpolated (log-log) between the tolerances that bracket it; Tsit5 is limited by stability, so
its count hardly depends on the tolerance. Seconds: after compilation, one run of Tsit5 and of
large flows, else the median of three; compare them within a flow only.
"""

import argparse
import csv
import itertools
import platform
import sys
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from problems import flat_weights, relative_error  # noqa: E402

from faflow.feedback import Feedback  # noqa: E402
from faflow.flow import FlowProblem, Numerics, integrate  # noqa: E402
from faflow.networks import ACTIVATIONS, MLP  # noqa: E402
from faflow.rules import RULES  # noqa: E402
from faflow.tasks import make_data  # noqa: E402

HERE = Path(__file__).resolve().parent
TARGETS = (1e-4, 1e-5, 1e-6)
LADDER = {"tsit5": (1e-4, 1e-5, 1e-6), "rkc2": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)}
GD, FA, DFA = "gradient", "feedback-alignment", "direct-feedback-alignment"


def tanh_problem(rule, widths, samples, *, scales=None, classes=False, digits=False) -> FlowProblem:
    """Gaussian weights and feedback, 1 / fan-in; a tanh teacher of the same shape labels gaussian
    inputs (times `scales`); `classes`: its largest output, cross-entropy. `digits`: scikit-learn's,
    over 16. Mean loss, seed 0."""
    rng = np.random.default_rng(0)
    shapes = [(rows, columns) for columns, rows in itertools.pairwise(widths)]
    draw = lambda shape: jnp.asarray(rng.standard_normal(shape) / shape[1] ** 0.5)  # noqa: E731
    weights, teacher = tuple(map(draw, shapes)), tuple(map(draw, shapes))
    tanh = ACTIVATIONS["tanh"]()
    inputs = rng.standard_normal((samples, widths[0])) * (1.0 if scales is None else scales)
    if digits:
        from sklearn.datasets import load_digits

        inputs, labels = load_digits(return_X_y=True)
        inputs, labels = inputs[:samples] / 16, labels[:samples]
        targets = np.eye(10)[labels]
    else:
        targets = np.asarray(MLP(teacher, (), tanh)(jnp.asarray(inputs)))
        targets = np.eye(widths[-1])[targets.argmax(axis=1)] if classes else targets
    form = RULES[rule].form
    matrices = {
        "none": [], "layerwise": shapes[1:], "direct": [(widths[-1], n) for n in widths[1:-1]]
    }[form]  # fmt: skip
    loss = "cross-entropy" if classes or digits else "squared"
    return FlowProblem(
        RULES[rule](),
        MLP(weights, (), tanh),
        Feedback(tuple(map(draw, matrices)), form),
        make_data(inputs, targets, loss, "mean"),
    )


SCALES = np.logspace(0, -2.5, 30)
R10 = dict(widths=(30, 10, 1), samples=256, scales=SCALES)  # noqa: C408
DEEP = dict(widths=(10, 12, 12, 12, 3), samples=64)  # noqa: C408
DIGITS = dict(widths=(64, 100, 10), samples=1797, digits=True)  # noqa: C408
WIDE = dict(widths=(784, 256, 10), samples=500, classes=True)  # noqa: C408

# name -> (rule, options, T, large)
FLOWS = {
    "R10 GD, T=1e4": (GD, R10, 1e4, False),
    "R10 GD, T=1e5": (GD, R10, 1e5, False),
    "R10 FA, T=1e4": (FA, R10, 1e4, False),
    "R10 FA, T=1e5": (FA, R10, 1e5, False),
    "deep FA, T=1e4": (FA, DEEP, 1e4, False),
    "deep DFA, T=1e4": (DFA, DEEP, 1e4, False),
    "digits GD, T=1e3": (GD, DIGITS, 1e3, True),
    "digits FA, T=1e3": (FA, DIGITS, 1e3, True),
    "784-256-10 FA, T=30": (FA, WIDE, 30.0, True),
}


def measure(problem, t1, solver, rtol, repeats):
    """(final weights, row) of one flow with one solver at one tolerance."""
    numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100, max_steps=10**8)
    integrate(problem, jnp.array([0.0, 1e-6 * t1]), {}, numerics)  # compiles
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        solution = integrate(problem, jnp.array([0.0, t1]), {}, numerics)
        jax.block_until_ready(solution.t_final)
        seconds.append(time.perf_counter() - start)
    row = {
        "solver": solver,
        "rtol": rtol,
        "evaluations": int(solution.counts.evaluations),
        "accepted": int(solution.counts.accepted),
        "rejected": int(solution.counts.rejected),
        "seconds": float(np.median(seconds)),
    }
    return flat_weights(solution.weights), row


def evaluations_at(rows, target):
    """Evaluations for an error of `target`: interpolated in log-log, or the fewest that are below;
    None if no tolerance of the ladder reaches it."""
    rows = sorted(rows, key=lambda row: row["error"])
    below = [row for row in rows if row["error"] <= target]
    above = [row for row in rows if row["error"] > target]
    if not below:
        return None
    least = min(row["evaluations"] for row in below)
    if not above:
        return least
    low, high = below[-1], above[0]
    share = np.log(target / low["error"]) / np.log(high["error"] / low["error"])
    count = low["evaluations"] * (high["evaluations"] / low["evaluations"]) ** share
    return round(min(count, least))


def race(name):
    rule, options, t1, large = FLOWS[name]
    problem = tanh_problem(rule, **options)
    solver, rtol = ("tsit5", 1e-8) if large else ("kvaerno5", 1e-10)
    reference, _ = measure(problem, t1, solver, rtol, 1)
    found = []
    for solver, ladder in LADDER.items():
        # Stability decides what Tsit5 costs: on large and long flows one tolerance tells.
        plain = solver == "tsit5"
        for rtol in ladder[-1:] if plain and (large or t1 > 1e4) else ladder:
            weights, row = measure(problem, t1, solver, rtol, 1 if large or plain else 3)
            row = {"flow": name, "weights": weights.size, "t1": t1, **row}
            row["error"] = relative_error(weights, reference)
            found.append(row)
            print(f"{name:22}{solver:7}{rtol:8.0e}{row['error']:10.1e}{row['evaluations']:9d}"
                  f"{row['rejected']:6d}{row['seconds']:9.3f} s", flush=True)  # fmt: skip
    return found


def table(rows):
    """The Markdown table: evaluations at each target error, and how many times fewer."""
    head = ["flow", "weights", *(f"{e:.0e}: tsit5 / rkc2 (ratio)" for e in TARGETS)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in dict.fromkeys(row["flow"] for row in rows):
        mine = [row for row in rows if row["flow"] == name]
        cells = [name, str(mine[0]["weights"])]
        for target in TARGETS:
            counts = [
                evaluations_at([r for r in mine if r["solver"] == solver], target)
                for solver in LADDER
            ]
            if None in counts:
                cells.append(" / ".join("-" if c is None else str(c) for c in counts))
            else:
                cells.append(f"{counts[0]} / {counts[1]} (**{counts[0] / counts[1]:.1f}**)")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--quick", action="store_true", help="the small flows alone")
    parser.add_argument("--only", default="", metavar="TEXT", help="flows whose name holds TEXT")
    options = parser.parse_args()
    names = [name for name, flow in FLOWS.items() if not (options.quick and flow[-1])]
    names = [name for name in names if options.only in name]
    rows = [row for name in names for row in race(name)]
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "stabilised.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = f"""# Field evaluations to an error of the final weights, Tsit5 and RKC2

{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}, float64. Errors are
relative, of all weights at T. Power iterations are counted. `python benchmarks/stabilised.py`.

{table(rows)}
"""
    (options.out / "stabilised.md").write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
