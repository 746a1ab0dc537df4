"""Random small ReLU flows and the discrete rule as a judge of their exact solutions.

Shared by the property test and by `benchmarks/relu_random.py`. The discrete rule, Euler's method
with phi'(0) = 0, converges to Filippov's solution at first order in its step eta, where that
solution is the only one. So a step eta must be wrong by at most C eta; C is measured from the
Euler runs alone, as the largest ||E(a) - E(b)|| / |a - b| over pairs of steps.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from faflow.feedback import Feedback
from faflow.flow import Exact, FlowProblem, Numerics, Stops
from faflow.networks import ACTIVATIONS, MLP
from faflow.networks.activations import LeakyReLU
from faflow.rules import DirectFeedbackAlignment, FeedbackAlignment, Gradient
from faflow.tasks import make_data

RULES = {"gradient": Gradient, "fa": FeedbackAlignment, "dfa": DirectFeedbackAlignment}
T_END = 20.0
COARSE, FINE = (4e-3, 2e-3, 1e-3), (3e-4, 1e-4)


class Kind(NamedTuple):
    """A family of problems; the seed draws one of them. The second half of the samples are the
    first half times `copies` in turn, if any are given: their surfaces coincide."""

    rule: str
    widths: tuple[int, ...]
    samples: int
    labels: str = "teacher"
    activation: str = "relu"
    bias: bool = False
    loss: str = "squared"
    slope: float | None = None
    copies: tuple[float, ...] = ()


KINDS = {
    "fa-deep-bias": Kind("fa", (3, 5, 5, 5, 1), 10, bias=True),
    "fa-deep": Kind("fa", (3, 5, 5, 5, 1), 10),
    "gradient-leaky": Kind("gradient", (4, 6, 6, 2), 12, "random", "leaky-relu"),
    "dfa-bias": Kind("dfa", (4, 6, 6, 2), 12, "random", bias=True),
    "fa-softmax": Kind("fa", (4, 6, 6, 3), 12, "random", loss="cross-entropy"),
    "gradient-deep": Kind("gradient", (3, 5, 5, 1), 10, "random"),
    "gradient": Kind("gradient", (4, 8, 1), 16, "random"),
    "dfa-deep": Kind("dfa", (3, 5, 5, 5, 1), 10),
    "fa": Kind("fa", (4, 12, 1), 20, "random"),
    "gradient-softmax-bias": Kind(
        "gradient", (3, 6, 6, 3), 10, "random", bias=True, loss="cross-entropy"
    ),
}

COINCIDING = {
    "fa-mirrored": Kind("fa", (3, 6, 1), 12, "random", copies=(-1.0,)),
    "fa-duplicates": Kind("fa", (3, 6, 1), 12, "random", copies=(1.0,)),
    "fa-scaled": Kind("fa", (3, 6, 1), 12, "random", copies=(0.5, -2.0, 1.5)),
    "fa-mixed-zeros": Kind("fa", (3, 6, 1), 12, "random", copies=(0.0, -1.0, 1.0, 0.3)),
    "fa-line": Kind("fa", (1, 6, 1), 12, "random", copies=(1.0,)),
    "gradient-line-bias": Kind("gradient", (1, 6, 1), 12, "random", bias=True, copies=(1.0, -1.0)),
    "gradient-mirrored": Kind("gradient", (3, 6, 1), 12, "random", copies=(-1.0, -0.7)),
    "gradient-steep": Kind("gradient", (3, 6, 1), 12, "random", slope=2.0, copies=(-1.0, 1.0, 0.0)),
    "fa-deep-mixed": Kind("fa", (3, 5, 5, 1), 12, "random", copies=(1.0, 0.5, -1.0, 0.0, 2.0)),
    "dfa-deep-steep": Kind("dfa", (3, 5, 5, 1), 12, "random", slope=1.5, copies=(-1.0, 0.5, 0.0)),
}


def random_flow(kind: Kind, seed: int) -> FlowProblem:
    """Gaussian inputs, weights N(0, 2 / fan-in), biases N(0, 0.01), feedback N(0, 1 / columns).

    One generator draws, in this order: weights, teacher, biases, inputs, labels, feedback.
    """
    rng = np.random.default_rng(seed)
    shapes = [(rows, columns) for columns, rows in itertools.pairwise(kind.widths)]

    def he_weights() -> tuple:
        return tuple(jnp.asarray(rng.standard_normal(s) * (2 / s[1]) ** 0.5) for s in shapes)

    weights, teacher = he_weights(), he_weights()
    biases = ()
    if kind.bias:
        biases = tuple(jnp.asarray(0.1 * rng.standard_normal(n)) for n in kind.widths[1:])
    inputs = rng.standard_normal((kind.samples, kind.widths[0]))
    if kind.copies:
        half = kind.samples // 2
        inputs[half:] = np.resize(kind.copies, half)[:, None] * inputs[:half]
    if kind.labels == "teacher":
        targets = np.asarray(MLP(teacher, (), ACTIVATIONS["relu"]())(jnp.asarray(inputs)))
    else:
        targets = rng.standard_normal((kind.samples, kind.widths[-1]))
    if kind.loss == "cross-entropy":
        targets = np.eye(kind.widths[-1])[targets.argmax(axis=1)]
    rule = RULES[kind.rule]()
    matrices = tuple(
        jnp.asarray(rng.standard_normal(shape) / shape[1] ** 0.5)
        for shape in {
            "none": [],
            "layerwise": shapes[1:],
            "direct": [(kind.widths[-1], width) for width in kind.widths[1:-1]],
        }[rule.form]
    )
    activation = ACTIVATIONS[kind.activation]()
    if kind.slope is not None:
        activation = LeakyReLU(kind.slope)
    return FlowProblem(
        rule,
        MLP(weights, biases, activation),
        Feedback(matrices, rule.form),
        make_data(inputs, targets, kind.loss, "mean"),
    )


def exact_numerics(
    tol: float = 1e-9, events: int = 0, slots: int = 32, branch: str = "stop",
    max_steps: int = 40_000, stops: Stops | None = None,
) -> Numerics:  # fmt: skip
    return Numerics(
        solver="tsit5", rtol=tol, atol=tol, max_steps=max_steps, kinks="exact",
        exact=Exact(slots=slots, events=events, branch=branch), stops=stops or Stops(),
    )  # fmt: skip


def _stepped(problem, eta, steps):
    def step(_, weights):
        move = problem.rule.vector_field(weights, problem.feedback, problem.data)
        return jax.tree.map(lambda w, dw: w + eta * dw, weights, move)

    return jax.lax.fori_loop(0, steps, step, problem.weights)


_FAST = {"xla_backend_optimization_level": 1}  # half the time of 0, which the tests ask for
_euler = jax.jit(_stepped, compiler_options=_FAST)
_eulers = jax.jit(jax.vmap(_stepped, in_axes=(0, None, None)), compiler_options=_FAST)


def euler(problem: FlowProblem, eta: float, t_end: float):
    """The weights after round(t_end / eta) steps of the discrete rule."""
    steps = round(t_end / eta)
    return _euler(problem, t_end / steps, steps)


def coarse_runs(problems: Sequence[FlowProblem], t_end: float = T_END) -> list[dict[float, Any]]:
    """The weights of each problem after steps of the sizes in COARSE; the problems are alike."""
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *problems)
    runs: list[dict[float, Any]] = [{} for _ in problems]
    for eta in COARSE:
        steps = round(t_end / eta)
        ends = jax.tree.map(np.asarray, _eulers(together, t_end / steps, steps))
        for k, run in enumerate(runs):
            run[eta] = jax.tree.map(lambda leaf, k=k: leaf[k], ends)
    return runs


def distance(one, two) -> float:
    """Frobenius distance over all weights and biases."""
    parts = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return float(np.sqrt(sum(np.sum((np.asarray(a) - np.asarray(b)) ** 2) for a, b in parts)))


class Verdict(NamedTuple):
    """`error` of the finest step `eta` against `bound` = 2 C eta."""

    agrees: bool
    eta: float
    error: float
    bound: float


def judge(
    problem: FlowProblem,
    weights,
    t_end: float = T_END,
    runs: dict[float, Any] | None = None,
) -> Verdict:
    """Whether Euler's method converges to `weights` at first order; finer steps only if asked.

    `runs`: those of `coarse_runs`, where they are known.
    """
    runs = dict(runs or {})
    verdict = Verdict(False, np.nan, np.nan, np.nan)
    for batch in (COARSE, *((eta,) for eta in FINE)):
        runs |= {eta: euler(problem, eta, t_end) for eta in batch if eta not in runs}
        slope = max(
            distance(runs[a], runs[b]) / abs(a - b) for a, b in itertools.combinations(runs, 2)
        )
        eta = min(runs)
        error, bound = distance(runs[eta], weights), 2 * slope * eta + 1e-8
        verdict = Verdict(error <= bound, eta, error, bound)
        if verdict.agrees:
            break
    return verdict
