"""Heavy-ball momentum: a second-order flow, along which laws rise."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Record, Scalar
from ...feedback import Feedback
from ...networks import AbstractNetwork
from ...observables import AbstractConservationLaw
from ...tasks import Data
from ..abstract import AbstractLearningRule, Laws, State, WeightsAndFeedback
from .modified import (
    AbstractForecastingRule,
    Memory,
    Point,
    check_field,
    check_numbers,
    law_along,
    predicted_rate,
)


def _number(value: Any) -> Scalar:
    return jnp.asarray(value, float)


class Momentum(AbstractForecastingRule):
    """m W'' + gamma W' = g, from rest; `mass` = m > 0 (time), `friction` = gamma >= 0 (no unit).

    A quadratic law of g moves as m Q'' + gamma Q' = m D^2 Q[W', W']: for feedback alignment
    m ||W_l'||^2 >= 0, so that momentum makes every balance rise, monotonically; for the gradient
    m (||W_l'||^2 - k ||W_{l+1}'||^2). Kept, but not named: linear laws of g, and in linear nets the
    antisymmetric ones, 0 from rest (docs/laws.md). Steps of size eta with momentum beta,
    W_{n+1} - W_n = beta (W_n - W_{n-1}) + eta g, are this flow in t = eta n with
    m = eta (1 + beta) / 2 and gamma = 1 - beta, to first order in eta.
    """

    rule: AbstractLearningRule
    mass: Scalar = eqx.field(converter=_number, default=0.1)
    friction: Scalar = eqx.field(converter=_number, default=1.0)
    equation: ClassVar[str] = "m W'' + gamma W' = g"
    source: ClassVar[str] = "Polyak 1964; Kunin et al. 2021; laws: docs/laws.md"

    def __check_init__(self):
        check_field(self.rule, "Momentum")
        check_numbers("mass", self.mass)
        check_numbers("friction", self.friction, zero=True)

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        return weights, jax.tree.map(jnp.zeros_like, weights)

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        weights, speed = state
        update = self.rule.velocity(t, weights, feedback, data)
        push = jax.tree.map(lambda g, v: (g - self.friction * v) / self.mass, update, speed)
        return speed, push

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return state[0], feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}

    def memory(self, law: AbstractConservationLaw, start: Point) -> Memory:
        weights, speed = start.state
        return law_along(law, start._replace(state=weights), speed)  # Q' = 0 from rest

    def forecast(
        self, law: AbstractConservationLaw, point: Point, memory: Memory
    ) -> tuple[Record, Memory]:
        weights, speed = point.state
        force = predicted_rate(self.rule, law, point._replace(state=weights))

        def slope(net: AbstractNetwork) -> Record:
            return law_along(law, point._replace(state=net), speed)

        _, bend = jax.jvp(slope, (weights,), (speed,))
        change = jax.tree.map(
            lambda q, f, b: (f - self.friction * q) / self.mass + b, memory, force, bend
        )
        return memory, change
