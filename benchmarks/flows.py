"""The smooth flows of the benchmarks: sizes and seeds are all there is to them.

Loss: mean over samples, squared unless
said. Drawn by one numpy generator, seed 0.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

from faflow.feedback import Feedback
from faflow.flow import FlowProblem
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import RULES
from faflow.tasks import make_data

GD, FA, DFA = "gradient", "feedback-alignment", "direct-feedback-alignment"
SCALES = np.geomspace(1.0, 10**-2.5, 30)


class Flow(NamedTuple):
    """A race: `make` the problem, integrate it to `t1`. `stiff`: near a minimum, where explicit
    steps are held by stability. `errors`: of the weights, at which methods are compared.
    `residual`: over that at the start, at which they are too. `slow`: methods that would take
    longer than a race may. `budget`: seconds of a method's ladder."""

    make: Callable[[], FlowProblem]
    t1: float
    stiff: bool
    errors: tuple[float, ...] = (1e-6, 1e-9)
    slow: tuple[str, ...] = ()
    budget: float = 6.0
    residual: float | None = None


def student(
    widths, teacher, samples, activation, *, rule=GD, scales=None, bias=True, classes=False
) -> FlowProblem:
    """A student of `widths`, targets from a teacher network of widths `teacher`.

    Weights N(0, 1 / fan-in), biases N(0, 0.1^2), inputs N(0, 1) times `scales`, feedback
    N(0, 1 / columns); `classes`: the teacher's largest output, cross-entropy. Drawn in the order
    teacher, student, inputs, feedback.
    """
    rng = np.random.default_rng(0)
    target = _network(rng, teacher, activation, bias)
    start = _network(rng, widths, activation, bias)
    inputs = rng.standard_normal((samples, widths[0])) * (1.0 if scales is None else scales)
    targets = np.asarray(target(jnp.asarray(inputs)))
    loss = "squared"
    if classes:
        targets, loss = np.eye(widths[-1])[targets.argmax(axis=1)], "cross-entropy"
    return _problem(rng, rule, start, make_data(inputs, targets, loss, "mean"))


def theorem2() -> FlowProblem:
    """R3: two-layer linear FA, N = 20, d = 50, m = 64, X / sqrt(50), W_1(0) = 0, W_2(0) = B."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((20, 50)) / 50**0.5
    targets, back = rng.standard_normal((20, 1)), jnp.asarray(rng.standard_normal((1, 64)) / 8)
    net = MLP((jnp.zeros((64, 50)), back), (), ACTIVATIONS["linear"]())
    data = make_data(inputs, targets, "squared", "mean")
    return FlowProblem(RULES[FA](), net, Feedback((back,), "layerwise"), data)


def factorisation(rank: int) -> FlowProblem:
    """R4: ||Z W - Y|| under FA, Y 50 x 50 of rank 5, W and Z of rank `rank` from 1e-2 N(0, 1)."""
    rng = np.random.default_rng(0)
    target = rng.standard_normal((50, 5)) @ rng.standard_normal((5, 50)) / 250**0.5
    shapes = [(rank, 50), (50, rank)]
    small = tuple(jnp.asarray(1e-2 * rng.standard_normal(shape)) for shape in shapes)
    back = jnp.asarray(rng.standard_normal((50, rank)) / rank**0.5)
    net = MLP(small, (), ACTIVATIONS["linear"]())
    data = make_data(np.eye(50), target.T, "squared", "sum")
    return FlowProblem(RULES[FA](), net, Feedback((back,), "layerwise"), data)


def digits(rule: str = GD, width: int = 100, samples: int = 1797) -> FlowProblem:
    """R15: tanh 64-100-10 with softmax on scikit-learn's 1797 digits, over 16."""
    rng = np.random.default_rng(0)
    inputs, labels = load_digits(return_X_y=True)
    inputs, labels = inputs[:samples] / 16, labels[:samples]
    data = make_data(inputs, np.eye(10)[labels], "cross-entropy", "mean")
    return _problem(rng, rule, _network(rng, (64, width, 10), "tanh", True), data)


def _network(rng, widths, activation: str, bias: bool) -> MLP:
    shapes = [(rows, columns) for columns, rows in itertools.pairwise(widths)]
    weights = tuple(jnp.asarray(rng.standard_normal(s) / s[1] ** 0.5) for s in shapes)
    biases = tuple(jnp.asarray(0.1 * rng.standard_normal(s[0])) for s in shapes) if bias else ()
    return MLP(weights, biases, ACTIVATIONS[activation]())


def _problem(rng, rule: str, start: MLP, data) -> FlowProblem:
    learn = RULES[rule]()
    later = [weight.shape for weight in start.weights[1:]]
    direct = [(later[-1][0], columns) for _, columns in later]
    shapes = {"none": [], "layerwise": later, "direct": direct}[learn.form]
    feedback = tuple(jnp.asarray(rng.standard_normal(s) / s[1] ** 0.5) for s in shapes)
    return FlowProblem(learn, start, Feedback(feedback, learn.form), data)


_DENSE = ("LSODA, differences", "SciPy BDF + J", "SciPy Radau + J", "diffrax Kvaerno5")
_LARGE = (*_DENSE, "LSODA + J", "Euler", "Heun", "RK4")

FLOWS: dict[str, Flow] = {
    "R3 two-layer linear FA, T = 200": Flow(theorem2, 200.0, False, slow=_DENSE),
    "R3 the same, T = 1e4": Flow(theorem2, 1e4, True, slow=(*_DENSE, "LSODA + J"), residual=1e-12),
    "R4 factorisation, r = 4 < rank": Flow(lambda: factorisation(4), 100.0, False, slow=_DENSE),
    "R4 factorisation, r = 10": Flow(lambda: factorisation(10), 100.0, False, slow=_DENSE),
    "deep linear FA 20-16-16-16-10": Flow(
        lambda: student((20, 16, 16, 16, 10), (20, 16, 16, 16, 10), 50, "linear", rule=FA,
                        bias=False), 10.0, False, slow=("diffrax Kvaerno5",),
    ),
    "teacher tanh 5-10-1, T = 1e4": Flow(
        lambda: student((5, 10, 1), (5, 10, 1), 256, "tanh"), 1e4, True
    ),
    "teacher tanh 5-10-1, T = 1e5": Flow(
        lambda: student((5, 10, 1), (5, 10, 1), 256, "tanh"), 1e5, True
    ),
    "R10 tanh 30-10-1": Flow(
        lambda: student((30, 10, 1), (30, 10, 1), 100, "tanh", scales=SCALES), 1e4, True
    ),
    "FA tanh 30-10-2": Flow(
        lambda: student((30, 10, 2), (30, 10, 2), 100, "tanh", scales=SCALES, rule=FA), 1e4, True
    ),
    "R6 softplus 2-8-1": Flow(
        lambda: student((2, 8, 1), (2, 4, 1), 10_000, "softplus"), 100.0, True
    ),
    # A field of 10 ms: what calls it many thousand times stays out.
    "R7 softplus 4-100-1": Flow(
        lambda: student((4, 100, 1), (4, 4, 1), 10_000, "softplus"), 5.0, True, budget=40.0,
        slow=(*_DENSE, "SciPy DOP853", "diffrax Tsit5", "faflow dopri8", "CVODE Adams", "Euler",
              "Heun", "RK4"),
    ),
    "R15 digits softmax 64-100-10": Flow(digits, 100.0, False, slow=_LARGE, budget=10.0),
    # Of the size of MNIST, with gaussian inputs: that needs a download.
    "784-256-10 softmax FA": Flow(
        lambda: student((784, 256, 10), (784, 256, 10), 1000, "tanh", rule=FA, classes=True), 20.0,
        False, (1e-6,), slow=_LARGE, budget=10.0,
    ),
}  # fmt: skip
