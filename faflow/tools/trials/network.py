"""A model: which samples it takes, and whether rules can go back through it."""

from collections.abc import Mapping

import jax
import numpy as np

from ..._compiling import ONCE, compiled
from ...config.choice import Choice
from ...config.errors import told
from ...config.kinds.model import model_of
from ...config.network import ModelSection
from ...feedback import FEEDBACKS, Feedback, model_feedback
from ...flow import FlowProblem
from ...networks import AbstractNetwork, Model, is_kinked
from ...rules import FeedbackAlignment, Gradient, check_outputs, weight_velocity
from ...tasks import Data, make_data
from .finding import CLOSE, Finding, key, normal_numbers, tried

OUTPUTS = 2
SAMPLES: Mapping[str, tuple[tuple[int, ...], bool]] = {
    "vectors of 6": ((6,), False), "images 1 x 8 x 8": ((1, 8, 8), False),
    "sequences 6 x 4": ((6, 4), False), "signals 1 x 12": ((1, 12), False),
    "6 tokens": ((6,), True),
}  # fmt: skip


def try_network(choice: Choice) -> list[Finding]:
    section, faults = ModelSection(kind=choice.kind), []
    for name, (shape, tokens) in SAMPLES.items():
        try:
            data = _data(shape, tokens)
            model = model_of(choice, section, data, key(1))
            check_outputs(model, data)
        except (Exception, SystemExit) as error:  # a user's constructor may raise anything
            faults.append(f"{name}: {told(error)}")
            continue
        return [
            Finding("samples", f"takes {name}, makes {OUTPUTS} outputs", True),
            *_of(model, data),
        ]
    return [Finding("samples", fault, False) for fault in faults]


def _data(shape: tuple[int, ...], tokens: bool) -> Data:
    inputs = np.asarray(normal_numbers(7, 5, *shape))
    inputs = np.floor(3 * np.abs(inputs)) if tokens else inputs
    return make_data(inputs, np.asarray(normal_numbers(8, 5, OUTPUTS)), tokens=tokens)


def _of(model: Model, data: Data) -> list[Finding]:
    held: list[Feedback] = []

    def leaves() -> Finding:
        kinks = "it has kinks" if is_kinked(model, data.inputs) else "no kinks"
        return Finding("leaves", f"{', '.join(model.paths)}; {kinks}")

    def gradient() -> Finding:
        problem = FlowProblem(Gradient(), model, Feedback(), data)
        return _gradient("gradient", problem)

    def feedback() -> Finding:
        draw = FEEDBACKS["equal"]()
        held.append(model_feedback(draw, key(2), model, data.inputs, "layerwise"))
        return _gradient("feedback alignment, F = W",
                         FlowProblem(FeedbackAlignment(), model, held[0], data))  # fmt: skip

    names = {"leaves": leaves, "gradient": gradient, "feedback alignment, F = W": feedback}
    return [tried(name, look) for name, look in names.items()]


@compiled(ONCE)
def _both(problem: FlowProblem) -> tuple[AbstractNetwork, AbstractNetwork]:
    """The rule's velocity, and the gradient of the loss."""
    weights, data = problem.weights, problem.data
    velocity, _ = weight_velocity(problem.rule, weights, problem.feedback, data)
    return velocity, jax.grad(lambda net: data.value(net(data.inputs)))(weights)


def _gradient(what: str, problem: FlowProblem) -> Finding:
    velocity, truth = jax.device_get(_both(problem))
    pairs = list(zip(jax.tree.leaves(velocity), jax.tree.leaves(truth), strict=True))
    size = max(float(np.max(np.abs(g))) for _, g in pairs) or 1.0
    away = max(float(np.max(np.abs(v + g))) for v, g in pairs) / size
    return Finding(what, f"the field is {away:.1e} from -gradient", away < CLOSE)
