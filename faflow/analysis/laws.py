"""Is a law kept? Its rate along the field: no integrator."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._compiling import ONCE, compiled
from .._types import Array, Record, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw
from ..rules import AbstractLearningRule, State, weight_velocity
from ..rules.abstract import WeightsAndFeedback
from ..tasks import Data


class LawRate(NamedTuple):
    """dQ/dt + decay * Q along the field, one entry per layer of the law (largest over entries).

    `scale`: the same sum with every term positive; `relative` = rate / scale, 0 where the field
    does not move the law's terms at all.
    """

    rate: Array
    scale: Array
    relative: Array


def law_rate(
    law: AbstractConservationLaw,
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    state: State | None = None,
    t: Scalar | None = None,
) -> LawRate:
    """The derivative of a law along a rule's field at one point: tests the theorem itself.

    <grad Q, (W', F')> by forward differentiation of the law's terms along the rule's velocity.
    `state`: the rule's state there, if it is not the one that it starts from; `t`: the time, 0
    unless given.
    """
    return law_rates({"": law}, rule, weights, feedback, data, state, t)[""]


@compiled(ONCE)
def law_rates(
    laws: Mapping[str, AbstractConservationLaw],
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    state: State | None = None,
    t: Scalar | None = None,
) -> dict[str, LawRate]:
    """`law_rate` of several laws by their names, the velocity computed once."""
    if state is not None:
        weights, feedback = rule.read(state, feedback, data)
    moves = weight_velocity(rule, weights, feedback, data, state, t)
    return {name: _rate(law, (weights, feedback), data, moves) for name, law in laws.items()}


def _rate(
    law: AbstractConservationLaw, point: WeightsAndFeedback, data: Data, moves: WeightsAndFeedback
) -> LawRate:
    def terms(net: AbstractNetwork, back: Feedback):
        return law.terms(net, back, data)

    (weights, feedback), (moved, shifted) = point, moves
    values, changes = jax.jvp(terms, point, moves)
    rates = jax.tree.map(jnp.subtract, changes, law.decaying(values))
    rate = _largest(law.collect(rates))
    # The same derivative at |W| along |W'| adds up what cancels in the rate.
    positive, speeds = jax.tree.map(jnp.abs, (weights, moved))
    _, sizes = jax.jvp(terms, (positive, feedback), (speeds, shifted))
    scale = _largest(law.collect(jax.tree.map(jnp.abs, sizes)))
    still = (scale == 0) & (rate == 0)
    relative = jnp.where(still, 0.0, rate / jnp.where(scale == 0, 1.0, scale))
    return LawRate(rate, scale, relative)


def _largest(record: Record) -> Array:
    if isinstance(record, tuple | list):
        return jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in record])
    return jnp.abs(record)
