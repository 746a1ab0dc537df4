"""A rule that claims a law which its field breaks: for the tests of what looks at the field."""

from faflow.observables import FeedbackPotential, balance_laws
from faflow.rules import AbstractLayerwiseRule, backward_sweep


class Liar(AbstractLayerwiseRule):
    """Feedback alignment with 2 F in place of F, under the laws of F."""

    equation = "twice the feedback"
    source = "none"
    form = "layerwise"

    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, [2 * f for f in feedback.matrices], trace, error)

    def laws(self, weights):
        return balance_laws(weights, FeedbackPotential())
