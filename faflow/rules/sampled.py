"""Which rules have a field that is a sum over samples, and takes it in blocks and over devices."""

from .abstract import AbstractLayerwiseRule, AbstractLearningRule
from .moving_feedback import AbstractMovingFeedbackRule


def sums_over_samples(rule: type[AbstractLearningRule]) -> bool:
    """Whether the field of an innermost rule of this class is taken through `Data.summed`.

    Layerwise rules, and those whose feedback moves with feedback alignment's update. FA* solves for
    its read-out and populations have no samples; others see every sample at once as they are
    written.
    """
    return issubclass(rule, AbstractLayerwiseRule | AbstractMovingFeedbackRule)
