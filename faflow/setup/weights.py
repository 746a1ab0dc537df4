"""W(0) and the feedback of a config: drawn, or the user's own arrays."""

import dataclasses
import itertools
from typing import Any

import numpy as np

from ..config.arrays import (
    FeedbackFromFile,
    WeightsFromFile,
    from_file,
    given_feedback,
    given_network,
)
from ..config.errors import ConfigError, shown
from ..config.network import ModelSection, NetworkSection
from ..config.places import located
from ..config.resolve import Resolved
from ..config.section import FEEDBACK, INIT
from ..feedback import Feedback, Form, draw_feedback, feedback_shapes
from ..networks import AbstractNetwork, GatedMLP, GatedReLU
from ..networks.initialise import initial_network
from ..tasks import Task
from . import field
from .model import model_and_feedback


def weights_and_feedback(
    resolved: Resolved, form: Form, task: Task, trusted: bool
) -> tuple[AbstractNetwork, Feedback]:
    """W(0) and the feedback, whichever of them the other is drawn from last. ConfigError if one
    does not fit (unless `trusted`), or is not finite."""
    if isinstance(resolved.config.network, ModelSection):
        return model_and_feedback(resolved, form, task)
    init = resolved.init.make()
    if not isinstance(init, WeightsFromFile) and init.needs_feedback:
        feedback = _feedback(resolved, "layerwise" if form == "none" else form, None)
        weights = _network(resolved, init, task, feedback)
    else:
        weights = _network(resolved, init, task, Feedback())
        feedback = Feedback() if form == "none" else _feedback(resolved, form, weights)
    feedback = Feedback() if form == "none" else feedback
    if not trusted:
        _check_draws(resolved, weights, feedback)
    return _behind_gates(resolved, weights), feedback


def _network(resolved: Resolved, init: Any, task: Task, feedback: Feedback) -> AbstractNetwork:
    network, phi = resolved.config.network, resolved.activation.make()
    assert isinstance(network, NetworkSection)
    if isinstance(init, WeightsFromFile):
        pick = lambda arrays: given_network(arrays, resolved.widths, phi, network.bias)  # noqa: E731
        return resolved.ask("init.file", from_file, located(resolved.base, init.file), pick)
    return resolved.ask(
        "init",
        initial_network,
        init,
        resolved.config.key(resolved.config.init, INIT),
        resolved.widths,
        phi,
        bias=network.bias,
        bias_scale=network.bias_scale,
        feedback=feedback.matrices,
        inputs=task.data.inputs,
    )


def _feedback(resolved: Resolved, form: Form, weights: AbstractNetwork | None) -> Feedback:
    draw, widths = resolved.feedback.make(), resolved.widths
    if isinstance(draw, FeedbackFromFile):
        pick = lambda arrays: given_feedback(arrays, widths, form)  # noqa: E731
        return resolved.ask("feedback.file", from_file, located(resolved.base, draw.file), pick)
    if draw.needs_weights and weights is None:
        what = (
            f"is {shown(resolved.feedback.kind)}, tied to W(0), but init "
            f"{shown(resolved.init.kind)} draws W(0) from the feedback; change one of them"
        )
        raise ConfigError("feedback.kind", what)
    key = resolved.config.key(resolved.config.feedback, FEEDBACK)
    return resolved.ask("feedback", draw_feedback, draw, key, widths, form, weights)


def _check_draws(resolved: Resolved, weights: AbstractNetwork, feedback: Feedback) -> None:
    widths = resolved.widths
    shapes = [(out, into) for into, out in itertools.pairwise(widths)]
    draws = {
        "init": (weights.weights, shapes, weights.biases),
        "feedback": (feedback.matrices, feedback_shapes(widths, feedback.form), ()),
    }
    # Each may be drawn from the other: the one that came first is to blame.
    tied = getattr(resolved.feedback.entry, "needs_weights", False)
    for name in draws if tied else reversed(draws):
        matrices, wanted, more = draws[name]
        found = resolved.ask(name, lambda matrices=matrices: [np.shape(one) for one in matrices])
        whole = resolved.ask(name, field.finite, (matrices, more))
        if found != wanted:
            kind = getattr(resolved, name).kind
            what = f"is '{kind}', which gave matrices of shapes {found}, not {wanted}"
            raise ConfigError(f"{name}.kind", what)
        if not whole:
            raise ConfigError(name, "gives numbers that are not finite; lower its scale")


def _behind_gates(resolved: Resolved, weights: AbstractNetwork) -> AbstractNetwork:
    """The same weights in the network that is asked for: behind frozen gates, or with
    `kinks = "smooth"` under the gate in place of relu."""
    network, smooth = resolved.config.network, resolved.flow.smooth
    if network.kind == "gated":
        phi, seed = weights.activation, resolved.config.seed_of(network)
        return GatedMLP(weights.weights, weights.biases, gate=phi, seed=seed)
    if smooth is None:
        return weights
    return dataclasses.replace(weights, activation=GatedReLU(width=smooth.width))
