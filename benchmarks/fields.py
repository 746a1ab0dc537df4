"""Fields at the floor: what rate the rules' fields reach beside dgemm, in one run, on one core.

`python benchmarks/fields.py` (development environment, a minute). Floating-point operations are
those of the products of a plain forward pass, backward pass and outer products, N samples:

    2 N sum_l n_l n_{l-1}   +   2 N sum_{l >= 2} n_l n_{l-1}   +   2 N sum_l n_l n_{l-1}

(direct feedback: n_L n_l for hidden l in place of the second sum). A linear net of two layers that
orders its products by shape (`rules/linear_field.py`) does fewer, with n = n_0, h = n_1, m = n_2:

    2 m (2 N n + 3 h n)    (X = I: 2 m 3 h n),

and can be above dgemm by the first count; by the second, "done", it is not. A field whose
activation costs more than its products is below by both. dgemm: 2048 x 2048 squared, and the
field's own largest product. Seconds: CPU, the least of many, inside a loop of evaluations each of
which depends on the last. Writes results/fields.{csv,md}.
"""

import itertools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from machine import machine_line
from measuring import RESULTS, markdown, write_table

from faflow.feedback import Feedback
from faflow.flow import FlowProblem
from faflow.flow.loop.multistep import flat_field
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import RULES
from faflow.rules.linear_field import pays
from faflow.tasks import make_data

LARGE = 2048
# name: widths, samples (None: X = I), activation
SHAPES = {
    "two-layer linear 50-64-1": ((50, 64, 1), 20, "linear"),
    "two-layer linear 784-512-10": ((784, 512, 10), 1000, "linear"),
    "factorisation 50 x 50, r = 5": ((50, 5, 50), None, "linear"),
    "factorisation 1000 x 1000, r = 20": ((1000, 20, 1000), None, "linear"),
    "tanh 64-100-10": ((64, 100, 10), 1797, "tanh"),
    "relu 64-100-10": ((64, 100, 10), 1797, "relu"),
    "tanh 784-256-10": ((784, 256, 10), 1000, "tanh"),
    "relu 784-256-256-10": ((784, 256, 256, 10), 1000, "relu"),
    "softplus 4-100-1": ((4, 100, 1), 10_000, "softplus"),
}
KINDS = ("gradient", "feedback-alignment", "direct-feedback-alignment")


def problem_of(kind: str, widths, samples, activation: str) -> FlowProblem:
    rng, rule = np.random.default_rng(0), RULES[kind]()
    draw = lambda shape: jnp.asarray(rng.standard_normal(shape) / shape[1] ** 0.5)  # noqa: E731
    shapes = [(rows, columns) for columns, rows in itertools.pairwise(widths)]
    inputs = np.eye(widths[0]) if samples is None else rng.standard_normal((samples, widths[0]))
    data = make_data(inputs, rng.standard_normal((len(inputs), widths[-1])), "squared", "mean")
    feedback = {
        "none": [], "layerwise": shapes[1:], "direct": [(widths[-1], n) for n in widths[1:-1]]
    }[rule.form]  # fmt: skip
    net = MLP(tuple(map(draw, shapes)), (), ACTIVATIONS[activation]())
    return FlowProblem(rule, net, Feedback(tuple(map(draw, feedback)), rule.form), data)


def operations(kind: str, widths, samples: int | None) -> int:
    layers = [rows * columns for columns, rows in itertools.pairwise(widths)]
    back = layers[1:]
    if kind.startswith("direct"):
        back = [widths[-1] * width for width in widths[1:-1]]
    if samples is None:  # X = I: the products with it are none
        first = widths[0]
        return 2 * first * (sum(layers[1:]) + sum(back) + sum(layers[1:]))
    return 2 * samples * (2 * sum(layers) + sum(back))


def done(problem: FlowProblem, kind: str, widths, samples: int | None) -> int:
    """Of the products that are made: fewer where the order is chosen by shape."""
    if not pays(problem.weights, problem.data):
        return operations(kind, widths, samples)
    inputs, hidden, outputs = widths
    meetings = 0 if samples is None else 2 * samples * inputs
    return 2 * outputs * (meetings + 3 * hidden * inputs)


def seconds_of(step, start) -> float:
    """CPU seconds of one evaluation."""
    loop = jax.jit(lambda y, n: jax.lax.fori_loop(0, n, lambda _, y: step(y), y))
    begun = time.process_time()
    jax.block_until_ready(loop(start, 1))
    begun = time.process_time()
    jax.block_until_ready(loop(start, 5))
    count = max(5, int(0.1 / max((time.process_time() - begun) / 5, 1e-7)))
    least = np.inf
    for _ in range(5):
        begun = time.process_time()
        jax.block_until_ready(loop(start, count))
        least = min(least, (time.process_time() - begun) / count)
    return least


def dgemm(rows: int, inner: int, columns: int) -> float:
    """GFlop/s of (rows, inner) @ (inner, columns)."""
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.standard_normal(s)) for s in ((rows, inner), (inner, columns)))
    # One product after the other: the next factor hangs on the last result.
    step = lambda a: a * (1 + 1e-300 * (a @ b)[0, 0])  # noqa: E731
    return 2 * rows * inner * columns / seconds_of(step, a) / 1e9


def main() -> int:
    peak, rows = dgemm(LARGE, LARGE, LARGE), []
    for (name, (widths, samples, activation)), kind in itertools.product(SHAPES.items(), KINDS):
        problem = problem_of(kind, widths, samples, activation)
        field, _, start = flat_field(problem)
        seconds = seconds_of(lambda y, f=field: y + 1e-12 * f(jnp.zeros(()), y), start)
        count = operations(kind, widths, samples)
        own = dgemm(samples or widths[0], *max(itertools.pairwise(widths), key=np.prod))
        rate = count / seconds / 1e9
        made = done(problem, kind, widths, samples) / seconds / 1e9
        row = {
            "field": name, "rule": kind, "microseconds": 1e6 * seconds, "gflops": rate,
            "of dgemm": rate / peak, "of its own product": rate / own,
            "done, of dgemm": made / peak,
        }  # fmt: skip
        rows.append(row)
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else v for k, v in row.items()),
              flush=True)  # fmt: skip
        jax.clear_caches()
    write_table(RESULTS / "fields.csv", rows, rows[0])
    lines = ["# Fields at the floor", "", f"{machine_line()}, pinned to one core.", ""]
    lines += [f"dgemm, {LARGE} x {LARGE}: {peak:.1f} GFlop/s in the same run. Operations are those"]
    lines += [
        "of plain products (`benchmarks/fields.py`): above 1, a field has ordered them better."
    ]
    head = ["field", "rule", "us", "GFlop/s", "of dgemm", "of dgemm at its own largest product",
            "done, of dgemm"]  # fmt: skip
    texts = [
        [row["field"], row["rule"], f"{row['microseconds']:.3g}", f"{row['gflops']:.3g}",
         *(f"{row[key]:.2f}" for key in ("of dgemm", "of its own product", "done, of dgemm"))]
        for row in rows
    ]  # fmt: skip
    lines += ["", *markdown(head, texts)]
    (RESULTS / "fields.md").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
