"""Rules that not every problem suits, beyond what shapes tell."""

import abc

from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..tasks import Task
from .abstract import AbstractLearningRule


class Misfit(ValueError):
    """What a rule can't serve. `key`: of the config, which is to be changed; `what`: what is wrong,
    where VALUE stands for the key's value and RULE for the rule's kind."""

    def __init__(self, key: str, what: str):
        self.key, self.what = key, what
        super().__init__(f"{key}: {what}")


class AbstractParticularRule(AbstractLearningRule):
    """A rule that looks at its problem first."""

    @abc.abstractmethod
    def suit(
        self, weights: AbstractNetwork, feedback: Feedback, task: Task
    ) -> "AbstractParticularRule":
        """The rule as this problem wants it, with what it has to know of the task. Misfit, or
        ValueError, where it can't serve."""
