"""Laws forecast: what a modifier makes of a law, integrated beside the flow that breaks it."""

from typing import Any

import jax.numpy as jnp

from ..._types import Record, Scalar
from ...feedback import Feedback
from ...networks import AbstractNetwork
from ...observables import AbstractConservationLaw
from ...tasks import Data
from ..abstract import AbstractLearningRule, Laws, State, WeightsAndFeedback
from .modified import AbstractForecastingRule, AbstractModifiedRule, Point, unmodified

SUFFIX = "_forecast"  # after a law's name, in records


class Forecast(AbstractModifiedRule):
    """A modified rule and, in its state, what the modifier predicts of every law of `forecasts`.

    The prediction starts at Q(0) and moves at the predicted rate, so that Q(t) minus it is the
    solver's error if the theory holds, and grows if it does not.
    """

    rule: AbstractForecastingRule
    forecasts: dict[str, AbstractConservationLaw]

    @property
    def equation(self) -> str:
        return self.rule.equation

    @property
    def source(self) -> str:
        return self.rule.source

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        state = self.rule.init(weights, feedback, data)
        start, back = self.rule.read(state, feedback, data)
        values = {name: law(start, back, data) for name, law in self.forecasts.items()}
        at = Point(jnp.zeros(()), state, feedback, data)
        memories = {name: self.rule.memory(law, at) for name, law in self.forecasts.items()}
        return state, values, memories

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        inner, _, memories = state
        point = Point(t, inner, feedback, data)
        moves: dict[str, Any] = {
            name: self.rule.forecast(law, point, memories[name])
            for name, law in self.forecasts.items()
        }
        rates = {name: rate for name, (rate, _) in moves.items()}
        changes = {name: change for name, (_, change) in moves.items()}
        return self.rule.velocity(t, inner, feedback, data), rates, changes

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return self.rule.read(state[0], feedback, data)

    def laws(self, weights: AbstractNetwork) -> Laws:
        return self.rule.laws(weights)

    def predicted(self, state: State) -> dict[str, Record]:
        """The predicted value of every law, as `<law>_forecast`."""
        return {name + SUFFIX: value for name, value in state[1].items()}


def bare(rule: AbstractLearningRule) -> AbstractLearningRule:
    """The rule without its forecasts."""
    return rule.rule if isinstance(rule, Forecast) else rule


def forecast(
    rule: AbstractLearningRule, weights: AbstractNetwork, prefix: str = ""
) -> AbstractLearningRule:
    """The rule with a forecast of every law of its innermost rule, by the law's name after
    `prefix`; itself if it modifies none or has no forecast, or if there is no law."""
    if not isinstance(rule, AbstractForecastingRule):
        return rule
    laws = {prefix + name: law for name, law in unmodified(rule).laws(weights).items()}
    return Forecast(rule, laws) if laws else rule
