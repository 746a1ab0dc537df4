"""Back against time, from each save to the one before: the adjoint equation as a rule.

With tau = -t:  s' = -v,  lambda' = (dv/ds)^T lambda,  g' = (dv/dp)^T lambda. No step is kept, but s
is found again from its end, which loses digits wherever the flow forgets its past: a rate of -r
between two saves at a distance T costs a factor e^{r T}. Save often, or go back along the steps.
"""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ..._types import Array, Scalar
from ...feedback import Feedback, Form
from ...networks import AbstractNetwork
from ...rules import AbstractLearningRule
from ...rules.abstract import Laws, State, WeightsAndFeedback
from ...tasks import Data
from ..flow import Flow
from ..loop.course import solve_leg
from ..problem import Stops
from .parts import Parts, Pulled, Stretch
from .refusal import whole
from .variation import with_rule


class Adjoint(AbstractLearningRule):
    """The state (s, lambda, g) of a flow against its time, from `begun` on."""

    parts: Parts
    begun: tuple[Array, Array, list[Array]]
    equation: ClassVar[str] = "the adjoint equation, against time"
    source: ClassVar[str] = "Pontryagin et al. 1962"
    form: ClassVar[Form] = "none"

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> State:
        return self.begun

    def velocity(self, t: Scalar, state: State, feedback: Feedback, data: Data) -> State:
        there, adjoint, _ = state
        velocity, pull = jax.vjp(
            lambda s, values: self.parts.field(-t, s, values), there, self.parts.values
        )
        return -velocity, *pull(adjoint)

    def read(self, state: State, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        problem = self.parts.flow.problem
        return problem.weights, problem.feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}


def backsolve(parts: Parts, stretch: Stretch, back: Pulled, room: None) -> tuple[Pulled, None]:
    """lambda and dL/d(values) at the first of the stretch's times, from those at the second."""
    problem, numerics = parts.flow.problem, parts.flow.numerics
    begun = stretch.states[1], back.adjoint, back.slopes
    stops = Stops(blow_up=jnp.asarray(1e30))
    numerics = replace(numerics, atol_scales=False, tail=False, stops=stops)
    against = Flow(with_rule(problem, Adjoint(parts, begun)), -stretch.times[::-1], {}, numerics)
    solution, standing = solve_leg(against)
    assert standing is not None
    _, adjoint, slopes = ravel_pytree(begun)[1](standing.state)
    certain = whole(solution)
    return Pulled(certain * adjoint, [certain * slope for slope in slopes]), room
