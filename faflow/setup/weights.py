"""W(0) and the feedback of a config: drawn, or the user's own arrays."""

import dataclasses
from typing import Any

from .._types import Array
from ..config.arrays import (
    FeedbackFromFile,
    WeightsFromFile,
    from_file,
    given_feedback,
    given_network,
)
from ..config.blame import blaming
from ..config.data import key_of
from ..config.errors import ConfigError, shown
from ..config.made import make
from ..config.places import located
from ..config.resolve import Resolved
from ..feedback import Feedback, Form, draw_feedback
from ..networks import MLP, AbstractNetwork, GatedMLP
from ..networks.initialise import initial_network
from ..tasks import Task
from .kink_solvers import gate

# Numbers folded into a section's seed, so that one seed draws independent sections (1 is the
# task's, config/data.py). Fixed for good: other numbers would be other data.
INIT, FEEDBACK, DISCRETE, SIMULATE = 2, 3, 4, 5


def section_key(resolved: Resolved, section: Any, number: int) -> Array:
    return key_of(resolved.config, section, number)


def weights_and_feedback(
    resolved: Resolved, form: Form, task: Task
) -> tuple[AbstractNetwork, Feedback]:
    """W(0) and the feedback, whichever of them the other is drawn from last."""
    init = make("init", resolved.init)
    if not isinstance(init, WeightsFromFile) and init.needs_feedback:
        feedback = _feedback(resolved, "layerwise" if form == "none" else form, None)
        weights = _drawn_network(resolved, init, task, feedback)
        return weights, Feedback() if form == "none" else feedback
    if isinstance(init, WeightsFromFile):
        weights = _network_from_file(resolved, init)
    else:
        weights = _drawn_network(resolved, init, task, Feedback())
    return weights, Feedback() if form == "none" else _feedback(resolved, form, weights)


def _drawn_network(
    resolved: Resolved, init: Any, task: Task, feedback: Feedback
) -> AbstractNetwork:
    network = resolved.config.network
    with blaming("init", resolved.suspects, "init.kind"):
        return initial_network(
            init,
            section_key(resolved, resolved.config.init, INIT),
            resolved.widths,
            make("network.activation", resolved.activation),
            bias=network.bias,
            bias_scale=network.bias_scale,
            feedback=feedback.matrices,
            inputs=task.data.inputs,
        )


def _network_from_file(resolved: Resolved, init: WeightsFromFile) -> MLP:
    network = resolved.config.network
    phi = make("network.activation", resolved.activation)
    with blaming("init.file", {}):
        pick = lambda arrays: given_network(arrays, resolved.widths, phi, network.bias)  # noqa: E731
        return from_file(located(resolved.base, init.file), pick)


def _feedback(resolved: Resolved, form: Form, weights: AbstractNetwork | None) -> Feedback:
    draw, widths = make("feedback", resolved.feedback), resolved.widths
    if isinstance(draw, FeedbackFromFile):
        with blaming("feedback.file", {}):
            pick = lambda arrays: given_feedback(arrays, widths, form)  # noqa: E731
            return from_file(located(resolved.base, draw.file), pick)
    if draw.needs_weights and weights is None:
        what = (
            f"is {shown(resolved.feedback.kind)}, tied to W(0), but init "
            f"{shown(resolved.init.kind)} draws W(0) from the feedback; change one of them"
        )
        raise ConfigError("feedback.kind", what)
    with blaming("feedback", resolved.suspects, "feedback.kind"):
        key = section_key(resolved, resolved.config.feedback, FEEDBACK)
        return draw_feedback(draw, key, widths, form, weights)


def network_of(resolved: Resolved, weights: AbstractNetwork) -> AbstractNetwork:
    """The same weights in the network that is asked for: behind frozen gates, or with
    `kinks = "smooth"` under the gate in place of relu."""
    network = resolved.config.network
    if network.kind == "gated":
        phi, seed = weights.activation, resolved.config.seed_of(network)
        return GatedMLP(weights.weights, weights.biases, gate=phi, seed=seed)
    phi = gate(resolved.flow)
    return weights if phi is None else dataclasses.replace(weights, activation=phi)
