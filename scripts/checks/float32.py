"""What laws, exponents and exact events are worth in float32, beside the same in float64.

`python scripts/checks/float32.py` (some minutes, most of it compiling). Feedback alignment, written
out sizes, one seed: the drift of a linear net's balance over tolerances; the rate of a loss that
falls to 0, fitted in log residual as far as its floor; the exact ReLU flow's events.
docs/float32.md has what it prints.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from faflow.feedback import Feedback
from faflow.flow import Exact, FlowProblem, Numerics, integrate
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Loss
from faflow.rules import FeedbackAlignment
from faflow.tasks import make_data

PRECISIONS = ("float64", "float32")


def problem_of(widths: tuple[int, ...], samples: int, activation: str) -> FlowProblem:
    """In the precision of now; the same numbers, rounded."""
    rng, pairs = np.random.default_rng(0), list(itertools.pairwise(widths))
    draw = lambda: tuple(rng.standard_normal((o, i)) / i**0.5 for i, o in pairs)  # noqa: E731
    weights, back = draw(), draw()[1:]
    x = rng.standard_normal((samples, widths[0]))
    y = np.sin(x @ rng.standard_normal((widths[0], widths[-1])))
    kept = lambda parts: tuple(jnp.asarray(part, float) for part in parts)  # noqa: E731
    net = MLP(kept(weights), (), ACTIVATIONS[activation]())
    feedback = Feedback(kept(back), "layerwise")
    return FlowProblem(FeedbackAlignment(), net, feedback, make_data(x, y, "squared", "mean"))


def weights_of(solution: Any) -> list[np.ndarray]:
    return [np.asarray(w, np.float64) for w in solution.weights.weights]


def drift(solver: str, rtol: float) -> float:
    """Of ||w_j||^2 / 2 - w'_j . b_j, over the sum of its terms' sizes."""
    one = problem_of((20, 30, 2), 40, "linear")
    numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100)
    end = weights_of(integrate(one, jnp.asarray([0.0, 20.0]), {}, numerics))
    start = [np.asarray(w, np.float64) for w in one.weights.weights]
    back = np.asarray(one.feedback.matrices[0], np.float64)
    law = lambda w: 0.5 * np.sum(w[0] ** 2, 1) - np.sum(w[1] * back, 0)  # noqa: E731
    size = 0.5 * np.sum(end[0] ** 2, 1) + np.sum(abs(end[1] * back), 0)
    return float(np.max(np.abs(law(end) - law(start)) / size))


def residuals() -> tuple[np.ndarray, np.ndarray]:
    """(t, sqrt(loss / loss(0))) of a net with more inputs than samples."""
    one = problem_of((20, 30, 1), 10, "linear")
    rtol = 1e-5 if jnp.zeros(()).dtype == jnp.float32 else 1e-9
    numerics = Numerics(solver="tsit5", rtol=rtol, atol=rtol / 100, tail=True)
    solution = integrate(one, jnp.linspace(0.0, 60.0, 61), {"loss": Loss()}, numerics)
    loss = np.asarray(solution.records["loss"], np.float64)
    return np.asarray(solution.ts, np.float64), np.sqrt(loss / loss[0])


def rate(t: np.ndarray, residual: np.ndarray, low: float, high: float) -> float:
    used = (residual > low) & (residual < high)
    return -float(np.polyfit(t[used], np.log(residual[used]), 1)[0])


def events() -> tuple[int, np.ndarray, np.ndarray]:
    """How many there were, when, and all weights at the end."""
    one = problem_of((3, 6, 1), 12, "relu")
    rtol = 1e-5 if jnp.zeros(()).dtype == jnp.float32 else 1e-10
    numerics = Numerics(
        solver="tsit5", rtol=rtol, atol=rtol / 100, kinks="exact", exact=Exact(events=64)
    )
    solution = integrate(one, jnp.asarray([0.0, 5.0]), {}, numerics)
    assert solution.events is not None
    when = np.asarray(solution.events.log.time, np.float64)
    when = when[np.isfinite(when)]
    return len(when), when, np.concatenate([w.ravel() for w in weights_of(solution)])


def main() -> None:
    found: dict[str, Any] = {}
    for precision in PRECISIONS:
        with jax.enable_x64(precision == "float64"):
            for solver in ("tsit5", "gauss4"):
                tried = [drift(solver, rtol) for rtol in (1e-3, 1e-4, 1e-5, 1e-6)]
                told = ", ".join(f"{one:.1e}" for one in tried)
                print(
                    f"{precision} {solver}: drift at rtol 1e-3, 1e-4, 1e-5, 1e-6: {told}",
                    flush=True,
                )
            t, residual = residuals()
            print(f"{precision}: residual falls to {residual.min():.1e} of its start; rate "
                  f"{rate(t, residual, 1e-3, 1e-1):.6f} above 1e-3, "
                  f"{rate(t, residual, 1e-5, 1e-3):.6f} above 1e-5", flush=True)  # fmt: skip
            found[precision] = events()
    (many, when, end), (few, later, other) = (found[precision] for precision in PRECISIONS)
    apart = np.max(np.abs(when - later)) if many == few else np.nan
    print(f"exact ReLU: {many} events in float64, {few} in float32, at most {apart:.1e} apart; "
          f"weights {np.linalg.norm(other - end) / np.linalg.norm(end):.1e} apart")  # fmt: skip


if __name__ == "__main__":
    main()
