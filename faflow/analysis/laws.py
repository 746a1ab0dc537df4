"""Is a law kept? Its rate along the field (no integrator) and its drift over a flow."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Record
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


@eqx.filter_jit
def law_rate(
    law: AbstractConservationLaw,
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    state: State | None = None,
) -> LawRate:
    """The derivative of a law along a rule's field at one point: tests the theorem itself.

    <grad Q, (W', F')> by forward differentiation of the law's terms along the rule's velocity.
    `state`: the rule's state there, if it is not the one that it starts from.
    """
    if state is not None:
        weights, feedback = rule.read(state, feedback, data)
    moved, shifted = weight_velocity(rule, weights, feedback, data, state)

    def terms(net: AbstractNetwork, back: Feedback):
        return law.terms(net, back, data)

    values, moves = jax.jvp(terms, (weights, feedback), (moved, shifted))
    rates = jax.tree.map(lambda move, value: move + law.decay * value, moves, values)
    rate = _largest(law.collect(rates))
    # The same derivative at |W| along |W'| adds up what cancels in the rate.
    positive, speeds = jax.tree.map(jnp.abs, (weights, moved))
    _, sizes = jax.jvp(terms, (positive, feedback), (speeds, shifted))
    scale = _largest(law.collect(jax.tree.map(jnp.abs, sizes)))
    still = (scale == 0) & (rate == 0)
    relative = jnp.where(still, 0.0, rate / jnp.where(scale == 0, 1.0, scale))
    return LawRate(rate, scale, relative)


def law_drift(law_values, law_scales, ts, reached, decay: float = 0.0) -> LawDrift:
    """The drift of a recorded law; `law_values` and `law_scales` have a leading axis of saves."""
    kept = np.asarray(reached, bool)
    times = np.asarray(ts)[kept]
    worst, scales, when = [], [], []
    for values, scale in zip(_by_layer(law_values), _by_layer(law_scales), strict=True):
        values, scale = values[kept], scale[kept]
        expected = np.exp(-decay * (times - times[0]))[:, None] * values[:1]
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
