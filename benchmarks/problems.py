"""Flows of ReLU networks that anyone can rebuild: sizes and seeds are all there is to them.

The caller switches float64 on before importing this file.
"""

import itertools

import jax.numpy as jnp
import numpy as np

from faflow.feedback import Feedback
from faflow.flow import FlowProblem
from faflow.networks import ACTIVATIONS, MLP
from faflow.rules import DirectFeedbackAlignment, FeedbackAlignment, Gradient
from faflow.tasks import make_data

RULES = {"gradient": Gradient, "fa": FeedbackAlignment, "dfa": DirectFeedbackAlignment}


def relu_problem(
    rule: str = "fa",
    widths: tuple[int, ...] = (10, 32, 32, 32, 1),
    samples: int = 64,
    seed: int = 0,
    loss: str = "squared",
    labels: str = "teacher",
) -> FlowProblem:
    """Gaussian inputs, weights N(0, 2 / fan-in), feedback N(0, 1 / columns), mean loss, no biases.

    `labels`: "teacher" (a network of the same shape and law) or "random" (gaussian); for
    `loss = "cross-entropy"` the largest output is the class. One generator draws, in this order:
    weights, teacher, inputs, random labels if any, feedback.
    """
    rng = np.random.default_rng(seed)
    shapes = [(rows, columns) for columns, rows in itertools.pairwise(widths)]

    def he_weights() -> tuple:
        return tuple(jnp.asarray(rng.standard_normal(s) * (2 / s[1]) ** 0.5) for s in shapes)

    weights, teacher = he_weights(), he_weights()
    inputs = rng.standard_normal((samples, widths[0]))
    relu = ACTIVATIONS["relu"]()
    if labels == "teacher":
        targets = np.asarray(MLP(teacher, (), relu)(jnp.asarray(inputs)))
    else:
        targets = rng.standard_normal((samples, widths[-1]))
    if loss == "cross-entropy":
        targets = np.eye(widths[-1])[targets.argmax(axis=1)]
    form = RULES[rule].form
    matrices = tuple(
        jnp.asarray(rng.standard_normal(shape) / shape[1] ** 0.5)
        for shape in {
            "none": [],
            "layerwise": shapes[1:],
            "direct": [(widths[-1], width) for width in widths[1:-1]],
        }[form]
    )
    return FlowProblem(
        RULES[rule](),
        MLP(weights, (), relu),
        Feedback(matrices, form),
        make_data(inputs, targets, loss, "mean"),
    )


def flat_weights(network) -> np.ndarray:
    """All weights in one vector, first layer first, rows first."""
    return np.concatenate([np.asarray(weight).ravel() for weight in network.weights])


def relative_error(flat: np.ndarray, reference: np.ndarray) -> float:
    """Relative Frobenius distance over all weights."""
    return float(np.linalg.norm(flat - reference) / np.linalg.norm(reference))
