"""Kinks met on the way: pre-activations that changed sign between accepted steps."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Integer
from ..networks import AbstractNetwork, kink_signs
from ..tasks import Data

CHATTER = 10  # sign changes of one pair: a smooth crossing has one, a sliding pair tens or more


class KinkCount(NamedTuple):
    """Running counts: `signs[l-1]` and `changes[l-1]` are (samples, n_l) for hidden layer l."""

    signs: tuple[Array, ...]
    changes: tuple[Array, ...]


class KinkSummary(NamedTuple):
    """`changes`: sign changes per hidden layer, (L-1,). `busiest`: most changes of one pair
    (neuron, sample). `chattering`: pairs that changed sign at least CHATTER times."""

    changes: Array
    busiest: Integer
    chattering: Integer


class KinkCounter(eqx.Module):
    """Counts, over accepted steps, the sign changes of every hidden pre-activation h[l, j, mu]; of
    a model, those of `kink_signs`: for each place in its program (samples, values)."""

    def init(self, weights: AbstractNetwork, data: Data) -> KinkCount:
        signs = self._signs(weights, data)
        return KinkCount(signs, tuple(jnp.zeros(s.shape, jnp.int32) for s in signs))

    def update(self, count: KinkCount, weights: AbstractNetwork, data: Data) -> KinkCount:
        signs = self._signs(weights, data)
        pairs = zip(signs, count.signs, count.changes, strict=True)
        return KinkCount(
            signs, tuple(total + (new != old).astype(total.dtype) for new, old, total in pairs)
        )

    def summary(self, count: KinkCount) -> KinkSummary:
        if not count.changes:  # a model whose kinks are those of pooling
            none = jnp.zeros((), jnp.int32)
            return KinkSummary(jnp.zeros(0, jnp.int32), none, none)
        busiest = jnp.stack([jnp.max(changes) for changes in count.changes])
        chattering = [jnp.sum(changes >= CHATTER) for changes in count.changes]
        return KinkSummary(
            jnp.stack([jnp.sum(changes) for changes in count.changes]),
            jnp.max(busiest),
            jnp.sum(jnp.stack(chattering)),
        )

    def _signs(self, weights: AbstractNetwork, data: Data) -> tuple[Array, ...]:
        signs = data.each(lambda part: kink_signs(weights, part.inputs))
        if data.present is None:
            return signs
        return tuple(sign & (data.present > 0) for sign in signs)
