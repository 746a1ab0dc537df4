"""Is a law kept? Its rate along the field (no integrator) and its drift over a flow."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import ONCE, compiled
from .._types import Array, Record, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw
from ..rules import AbstractLearningRule, State, weight_velocity
from ..tasks import Data


class LawRate(NamedTuple):
    """dQ/dt + decay * Q along the field, one entry per layer of the law (largest over entries).

    `scale`: the same sum with every term positive; `relative` = rate / scale, 0 where the field
    does not move the law's terms at all.
    """

    rate: Array
    scale: Array
    relative: Array


class LawDrift(NamedTuple):
    """max_t |Q(t) - e^{-decay t} Q(0)|, one entry per layer of the law (largest over entries).

    `scale`: the law's scale, its largest over time and entries; `relative` = drift / scale;
    `worst_time`: when the drift was largest.
    """

    drift: np.ndarray
    scale: np.ndarray
    relative: np.ndarray
    worst_time: np.ndarray


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
    point = weights, feedback, data
    moves = weight_velocity(rule, *point, state, t)
    return {name: _rate(law, *point, *moves) for name, law in laws.items()}


def _rate(
    law: AbstractConservationLaw,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    moved: AbstractNetwork,
    shifted: Feedback,
) -> LawRate:
    def terms(net: AbstractNetwork, back: Feedback):
        return law.terms(net, back, data)

    values, moves = jax.jvp(terms, (weights, feedback), (moved, shifted))
    rates = jax.tree.map(jnp.subtract, moves, law.decaying(values))
    rate = _largest(law.collect(rates))
    # The same derivative at |W| along |W'| adds up what cancels in the rate.
    positive, speeds = jax.tree.map(jnp.abs, (weights, moved))
    _, sizes = jax.jvp(terms, (positive, feedback), (speeds, shifted))
    scale = _largest(law.collect(jax.tree.map(jnp.abs, sizes)))
    still = (scale == 0) & (rate == 0)
    relative = jnp.where(still, 0.0, rate / jnp.where(scale == 0, 1.0, scale))
    return LawRate(rate, scale, relative)


def law_drift(law_values, law_scales, ts, reached, decay=0.0) -> LawDrift:
    """The drift of a recorded law; `law_values` and `law_scales` have a leading axis of saves.

    `decay`: one number, or one per layer.
    """
    kept = np.asarray(reached, bool)
    since, values_of = np.asarray(ts)[kept], _by_layer(law_values)
    rates = np.broadcast_to(np.asarray(decay, float), (len(values_of),))
    expected = [
        np.exp(-rate * (since - since[:1]))[:, None] * values[kept][:1]
        for values, rate in zip(values_of, rates, strict=True)
    ]
    return _deviation(values_of, expected, law_scales, ts, kept)


def forecast_error(law_values, predicted, law_scales, ts, reached) -> LawDrift:
    """max_t |Q(t) - Q_predicted(t)| of a recorded law, as `law_drift` reports a drift."""
    kept = np.asarray(reached, bool)
    expected = [values[kept] for values in _by_layer(predicted)]
    return _deviation(_by_layer(law_values), expected, law_scales, ts, kept)


def _deviation(values_of, expected_of, law_scales, ts, kept) -> LawDrift:
    """The largest deviation of values (all saves) from expected ones (the reached), per layer."""
    times, worst, scales, when = np.asarray(ts)[kept], [], [], []
    layers = zip(values_of, expected_of, _by_layer(law_scales), strict=True)
    for values, expected, scale in layers:
        values, scale = values[kept], scale[kept]
        drift = np.max(np.abs(values - expected), axis=1)
        worst.append(np.max(drift))
        scales.append(np.max(scale))
        when.append(times[np.argmax(drift)])
    drift, scale = np.asarray(worst), np.asarray(scales)
    relative = np.divide(drift, scale, out=np.zeros_like(drift), where=scale != 0)
    return LawDrift(drift, scale, relative, np.asarray(when))


def _by_layer(record) -> list[np.ndarray]:
    """One (saves, entries) array per layer, whether layers are an axis or pytree leaves."""
    if isinstance(record, tuple | list):
        return [np.asarray(leaf).reshape(len(leaf), -1) for leaf in record]
    return [column[:, None] for column in np.asarray(record).T]


def _largest(record: Record) -> Array:
    if isinstance(record, tuple | list):
        return jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in record])
    return jnp.abs(record)
