"""What an accelerator makes of flows: rates beside its matrix products, batches, stiff flows,
kinks, float32. One script, under eight minutes on one GPU, with floors 0 to 6 of faflow alone.

`python benchmarks/accelerator.py` on the machine's first device; `--toy` with sizes for a CPU,
`--only` for some of its parts, `--seconds` for another limit: what it leaves no time for is named.
Seconds are of the wall, the least of three, without compiling. Rows are written as they come, to
results/accelerator.md (`--out` for another folder).

"float32, full" asks JAX for products in full float32 (`jax_default_matmul_precision`), which
accelerators round to fewer digits by default. Operations of a field under feedback alignment are
those of its products, 2 N (2 sum_l n_l n_{l-1} + sum_{l >= 2} n_l n_{l-1}); the matmul rate is that
of two square matrices in the same precision and run.
"""

import argparse
import itertools
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, solve
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

PRECISIONS = {"float64": None, "float32": None, "float32, full": "highest"}
REPEATS = 3
STEPS = 10  # of a loop that is timed


class Sizes(NamedTuple):
    matrix: int
    fields: dict[str, tuple[tuple[int, ...], int]]  # name: widths, samples
    members: tuple[int, ...]
    stiff: tuple[tuple[int, ...], int, float]  # widths, samples, t1
    kinks: tuple[tuple[int, ...], int, float]
    drift: tuple[tuple[int, ...], int, float]


FULL = Sizes(
    8192,
    {"784-256-10": ((784, 256, 10), 60_000), "784-4096-4096-10": ((784, 4096, 4096, 10), 8192)},
    (1, 32, 1024, 8192),
    ((20, 1000, 1000, 1), 100, 2000.0),
    ((10, 32, 1), 64, 20.0),
    ((784, 256, 10), 1000, 20.0),
)
TOY = Sizes(
    256,
    {"20-16-5": ((20, 16, 5), 64), "20-32-32-5": ((20, 32, 32, 5), 64)},
    (1, 4),
    ((4, 8, 8, 1), 10, 20.0),
    ((3, 4, 1), 6, 2.0),
    ((20, 16, 5), 30, 2.0),
)


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    with (
        jax.enable_x64(precision == "float64"),
        jax.default_matmul_precision(PRECISIONS[precision]),
    ):
        yield


def problem_of(
    widths: tuple[int, ...], samples: int, activation: str, seed: int = 0
) -> FlowProblem:
    """Feedback alignment on gaussian data, squared loss, in the precision of now."""
    rng, pairs = np.random.default_rng(seed), list(itertools.pairwise(widths))
    draw = lambda rows, columns: rng.standard_normal((rows, columns)) / columns**0.5  # noqa: E731
    kept = lambda array: jnp.asarray(array, float)  # noqa: E731
    net = MLP(tuple(kept(draw(o, i)) for i, o in pairs), (), ACTIVATIONS[activation]())
    back = Feedback(tuple(kept(draw(o, i)) for i, o in pairs[1:]), "layerwise")
    x, y = rng.standard_normal((samples, widths[0])), rng.standard_normal((samples, widths[-1]))
    return FlowProblem(FeedbackAlignment(), net, back, make_data(x, y, "squared", "mean"))


def seconds_of(run: Callable[[], Any]) -> tuple[float, Any]:
    """The least of some runs after one that compiles; and what the last one gave."""
    found, spent = jax.block_until_ready(run()), []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        found = jax.block_until_ready(run())
        spent.append(time.perf_counter() - begun)
    return min(spent), found


def repeated(step: Callable[..., Any], start: Any, *given: Any) -> float:
    """Seconds of one step, each of which depends on the last. `given`: its other arguments, which
    would be constants of the program if it closed over them."""
    loop = eqx.filter_jit(
        lambda y, given: jax.lax.fori_loop(0, STEPS, lambda _, y: step(y, *given), y)
    )
    return seconds_of(lambda: loop(start, given))[0] / STEPS


@eqx.filter_jit
def ends(one: FlowProblem, ts: Any, numerics: Numerics) -> Any:
    return solve(one, ts, {}, numerics)


def peak() -> str:
    stats = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return f"{stats['peak_bytes_in_use'] / 2**20:.0f} MiB"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{most / (2**20 if sys.platform == 'darwin' else 2**10):.0f} MiB (process)"


def rates(sizes: Sizes, precision: str) -> Iterator[tuple[str, str]]:
    """Matmul, and the share of it that fields reach."""
    n = sizes.matrix
    a = jnp.full((n, n), 1 / n, float)
    flops = 2 * n**3 / repeated(lambda y: y @ y, a)
    yield f"product of {n} x {n}", f"{flops / 1e12:.3g} TFlop/s"
    for name, (widths, samples) in sizes.fields.items():
        one = problem_of(widths, samples, "tanh")

        def step(net: MLP, one: FlowProblem) -> MLP:
            velocity = one.rule.velocity(jnp.zeros(()), net, one.feedback, one.data)
            return jax.tree.map(lambda w, v: w + 1e-6 * v, net, velocity)

        layers = [o * i for i, o in itertools.pairwise(widths)]
        count = 2 * samples * (2 * sum(layers) + sum(layers[1:]))
        rate = count / repeated(step, one.weights, one)
        yield (
            f"field {name}, {samples} samples",
            f"{rate / 1e12:.3g} TFlop/s, {rate / flops:.2f} of it",
        )


def batches(sizes: Sizes, precision: str) -> Iterator[tuple[str, str]]:
    """tanh 10-20-1 on 50 samples, its own W(0) for each, to t = 50, rtol 1e-4 in all precisions."""
    one, ts = problem_of((10, 20, 1), 50, "tanh"), jnp.asarray([0.0, 50.0])
    numerics = Numerics(solver="tsit5", rtol=1e-4, atol=1e-6)

    @jax.jit
    @jax.vmap
    def of(net: MLP):
        flow = FlowProblem(one.rule, net, one.feedback, one.data)
        found = solve(flow, ts, {}, numerics)
        return found.weights, found.outcome

    for members in sizes.members:
        rng = np.random.default_rng(1)
        draw = lambda w: jnp.asarray(  # noqa: E731
            rng.standard_normal((members, *w.shape)) / w.shape[1] ** 0.5, float  # noqa: B023
        )  # fmt: skip
        nets = jax.tree.map(draw, one.weights)
        spent, (_, outcomes) = seconds_of(lambda: of(nets))  # noqa: B023
        done = int(np.sum(np.asarray(outcomes) == 0))
        told = "" if done == members else f", only {done} completed"
        yield f"{members} flows at once", f"{members / spent:.3g} flows/s{told}"


def stiff(sizes: Sizes, precision: str) -> Iterator[tuple[str, str]]:
    widths, samples, t1 = sizes.stiff
    one, ts = problem_of(widths, samples, "tanh"), jnp.asarray([0.0, t1])
    numerics = Numerics(solver="bdf-krylov", rtol=1e-4, atol=1e-6)
    spent, end = seconds_of(lambda: ends(one, ts, numerics))
    work = end.counts.implicit
    yield (
        f"BDF, tanh {'-'.join(map(str, widths))} to t = {t1:g}",
        f"{spent:.3g} s, outcome {int(end.outcome)}, {int(end.counts.accepted)} steps, "
        f"{int(work.iterations)} systems, {int(work.products)} products",
    )


def kinks(sizes: Sizes, precision: str) -> Iterator[tuple[str, str]]:
    widths, samples, t1 = sizes.kinks
    one, ts = problem_of(widths, samples, "relu"), jnp.asarray([0.0, t1])
    rtol = 1e-6 if precision == "float64" else 1e-4
    numerics = Numerics(solver="bosh3", rtol=rtol, atol=rtol / 100, kinks="exact")
    spent, end = seconds_of(lambda: ends(one, ts, numerics))
    yield (
        f"exact ReLU {'-'.join(map(str, widths))} to t = {t1:g}, rtol {rtol:g}",
        f"{spent:.3g} s, outcome {int(end.outcome)}, t = {float(end.t_final):.4g}, "
        f"{int(end.counts.accepted)} steps",
    )


def drift(sizes: Sizes, precision: str) -> Iterator[tuple[str, str]]:
    """Of ||w_j||^2 / 2 - w'_j . b_j of every hidden neuron of a linear net, its terms' size 1."""
    widths, samples, t1 = sizes.drift
    one, ts = problem_of(widths, samples, "linear"), jnp.asarray([0.0, t1])
    numerics = Numerics(solver="tsit5", rtol=1e-5, atol=1e-7)
    end = ends(one, ts, numerics).weights
    back = np.asarray(one.feedback.matrices[0], float)

    def law(net: Any, sign: int) -> np.ndarray:
        below, above = (np.asarray(w, float) for w in net.weights)
        parts = above * back
        return 0.5 * np.sum(below**2, 1) - np.sum(sign * abs(parts) if sign < 0 else parts, 0)

    off = np.max(np.abs(law(end, 1) - law(one.weights, 1)) / law(one.weights, -1))
    yield f"drift of the law, linear {'-'.join(map(str, widths))} to t = {t1:g}", f"{off:.2g}"


SECTIONS = {
    "products and fields": rates, "small flows": batches, "a stiff flow": stiff, "kinks": kinks,
    "laws": drift,
}  # fmt: skip


def heading(toy: bool) -> list[str]:
    device, versions = jax.devices()[0], [f"jax {jax.__version__}", f"numpy {np.__version__}"]
    lines = ["# Flows on an accelerator", ""]
    if device.platform == "cpu":
        size = "toy sizes" if toy else "full size"
        lines += [f"No accelerator was at hand: these rows were computed by a **CPU**, at {size}. "
                  "They show that the script runs, and nothing of an accelerator.", ""]  # fmt: skip
    where = f"{device.device_kind} ({device.platform}), {platform.machine()}"
    lines += [f"{where}, Python {platform.python_version()}, {', '.join(versions)}."]
    return [*lines, "", "| what | precision | measured | peak memory so far |", "|---|---|---|---|"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="sizes for a CPU")
    parser.add_argument("--seconds", type=float, default=400.0, help="begin nothing after these")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "results")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    path, begun = given.out / "accelerator.md", time.perf_counter()
    lines = heading(given.toy)

    def tell(what: str, precision: str, measured: str) -> None:
        lines.append(f"| {what} | {precision} | {measured} | {peak()} |")
        print(lines[-1], flush=True)
        path.write_text("\n".join(lines) + "\n")

    for title, precision in itertools.product(given.only, PRECISIONS):
        if time.perf_counter() - begun > given.seconds:
            tell(title, precision, "not begun: no time left")
            continue
        try:
            with computing_in(precision):
                for what, measured in SECTIONS[title](TOY if given.toy else FULL, precision):
                    tell(what, precision, measured)
        except Exception as error:  # the other rows are worth having
            tell(title, precision, f"failed: {type(error).__name__}: {str(error)[:200]}")
    lines += ["", f"{time.perf_counter() - begun:.0f} s in all, compiling included."]
    path.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
