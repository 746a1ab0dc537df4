"""Finite networks of the mean-field scaling: what the limit is the limit of."""

from .._generator import folded, seeded
from .._types import Inputs
from ..feedback import Feedback, draw_feedback
from ..feedback.draw import MeanField as MeanFieldFeedback
from ..networks import AbstractActivation, GatedMLP
from ..networks.initialise import MeanField, initial_network
from .neurons import RULES, Neurons, mean_field


def finite_network(
    rule: str,
    activation: AbstractActivation,
    inputs: Inputs,
    hidden: int,
    width: int,
    *,
    rho: float = 0.0,
    richness: float = 1.0,
    seed: int = 0,
    gated: bool = False,
) -> Neurons:
    """L = `hidden` layers of N = `width` neurons, drawn at random for inputs (P, D), one output;
    arguments as those of `neurons`."""
    widths = (inputs.shape[1], *(width,) * hidden, 1)
    key = seeded(seed)
    network = initial_network(MeanField(richness), folded(key, 1), widths, activation)
    form = RULES[rule].form
    feedback = Feedback()
    if form != "none":
        draw = MeanFieldFeedback(rho=rho, richness=richness)
        feedback = draw_feedback(draw, folded(key, 2), widths, form, network)
    if gated:
        network = GatedMLP(network.weights, gate=activation, seed=seed)
    return Neurons(mean_field(rule, richness), network, feedback)
