"""Rules that modify another rule, and what becomes of its laws: predicted, not only measured.

Let g be the field of the rule below and Q a law that it keeps, <grad Q, g> = 0. What a modifier
adds to the field then says how Q moves, and nothing else does: Q' = <grad Q, addition>. That rate
is integrated beside the flow (`forecast.py`) and compared with Q itself.
"""

import abc
import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from ..._types import Array, Record, Scalar
from ...feedback import Feedback, Form
from ...networks import AbstractLayeredNetwork, AbstractNetwork
from ...observables import AbstractConservationLaw, Balance
from ...tasks import Data
from ..abstract import AbstractLearningRule, AbstractWeightRule, State, WeightsAndFeedback

PerLayer = Float[Array, " _layers"]
Memory = Any  # what a forecast needs beside the law's value


class Point(NamedTuple):
    """Where a field is looked at: the time, the rule's state there, and what does not move."""

    t: Scalar
    state: State
    feedback: Feedback
    data: Data


class AbstractModifiedRule(AbstractLearningRule):
    """A rule made of another: `rule`, whose feedback it takes."""

    rule: eqx.AbstractVar[AbstractLearningRule]

    @property
    def form(self) -> Form:
        return self.rule.form


class AbstractForecastingRule(AbstractModifiedRule):
    """A modifier that says how it moves the laws of the innermost rule."""

    @abc.abstractmethod
    def memory(self, law: AbstractConservationLaw, start: Point) -> Memory:
        """What the forecast of a law remembers at t = 0; () if nothing."""

    @abc.abstractmethod
    def forecast(
        self, law: AbstractConservationLaw, point: Point, memory: Memory
    ) -> tuple[Record, Memory]:
        """(dQ/dt as the modifier predicts it, d memory / dt); the law is one of the innermost
        rule's."""


class AbstractModifiedField(AbstractForecastingRule):
    """A modifier of the field, whose state is still the weights themselves."""

    @abc.abstractmethod
    def modify(
        self, t: Scalar, update: AbstractNetwork, weights: AbstractNetwork
    ) -> AbstractNetwork:
        """dW/dt, from the `update` of the rule below."""

    @abc.abstractmethod
    def law_rate(self, law: AbstractConservationLaw, point: Point) -> Record:
        """dQ/dt as predicted."""

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> AbstractNetwork:
        return weights

    def velocity(
        self, t: Scalar, state: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        return self.modify(t, self.rule.velocity(t, state, feedback, data), state)

    def read(self, state: AbstractNetwork, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return state, feedback

    def memory(self, law: AbstractConservationLaw, start: Point) -> Memory:
        return ()

    def forecast(
        self, law: AbstractConservationLaw, point: Point, memory: Memory
    ) -> tuple[Record, Memory]:
        return self.law_rate(law, point), ()


def unmodified(rule: AbstractLearningRule) -> AbstractLearningRule:
    """The innermost rule."""
    return unmodified(rule.rule) if isinstance(rule, AbstractModifiedRule) else rule


def predicted_rate(
    rule: AbstractLearningRule, law: AbstractConservationLaw, point: Point
) -> Record:
    """dQ/dt along a rule whose state is the weights: -decay Q for the innermost, which keeps it."""
    if isinstance(rule, AbstractModifiedField):
        return rule.law_rate(law, point)
    return law.collect(law.decaying(law.terms(*point[1:])))


def law_along(law: AbstractConservationLaw, point: Point, direction: AbstractNetwork) -> Record:
    """<grad Q, direction>, at weights."""
    _, weights, feedback, data = point
    return jax.jvp(lambda net: law(net, feedback, data), (weights,), (direction,))[1]


def by_layer(rates: PerLayer, network: AbstractNetwork) -> AbstractNetwork:
    """The network with W_l and beta_l multiplied by rates[l-1]; a model with every leaf so."""
    if not isinstance(network, AbstractLayeredNetwork):
        leaves, shape = jax.tree.flatten(network)
        return jax.tree.unflatten(shape, list(map(jnp.multiply, rates, leaves)))
    weights = tuple(rate * weight for rate, weight in zip(rates, network.weights, strict=True))
    biases = tuple(rate * bias for rate, bias in zip(rates, network.biases, strict=False))
    return eqx.tree_at(lambda net: (net.weights, net.biases), network, (weights, biases))


def layered(values: Scalar | PerLayer, network: AbstractNetwork) -> PerLayer:
    """One value per layer (of a model: per leaf) from one for all, or from as many as there are.
    ValueError."""
    has_layers = isinstance(network, AbstractLayeredNetwork)
    layers = len(network.weights) if has_layers else len(jax.tree.leaves(network))
    if values.shape[0] not in (1, layers):
        raise ValueError(
            f"A modifier lists {values.shape[0]} values for a network of {layers} layers; "
            f"give one for all, or {layers}."
        )
    return jnp.broadcast_to(values, (layers,))


def per_layer(value: Any) -> PerLayer:
    """A number, or a list of one per layer, as an array."""
    return jnp.atleast_1d(jnp.asarray(value, float))


def check_numbers(option: str, values: Array, *, zero: bool = False) -> None:
    """Raise ValueError unless all are finite and above 0 (not below it, if `zero`); traced numbers,
    of which nothing is known yet, pass."""
    if isinstance(values, Tracer):
        return
    known = np.asarray(values)  # numpy's, so that constants are tested under jit too
    if not np.all(np.isfinite(known) & ((known >= 0) if zero else (known > 0))):
        wanted = "of 0 or more" if zero else "above 0"
        raise ValueError(f"Option `{option}` is {known.tolist()}; give finite numbers {wanted}.")


def check_field(rule: Any, modifier: str) -> None:
    """Raise ValueError unless the rule's state is the weights themselves."""
    if not isinstance(rule, AbstractWeightRule | AbstractModifiedField):
        raise ValueError(
            f"{modifier} modifies rules whose state is the weights themselves, but "
            f"{type(rule).__name__} has a state of its own; put it last, or leave it out."
        )


def unmoved(law: AbstractConservationLaw) -> bool:
    """Whether the law is known not to decay."""
    return not isinstance(law.decay, Tracer) and not np.any(np.asarray(law.decay))


def changed(law: AbstractConservationLaw, **fields: Any) -> AbstractConservationLaw:
    """A balance with other layers, rates or decay."""
    assert isinstance(law, Balance)
    return dataclasses.replace(law, **fields)
