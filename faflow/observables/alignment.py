"""Layer-wise alignment of weights with feedback: inner product, cosine, degrees."""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp

from .._types import Array
from ..feedback import Feedback, counterparts
from ..networks import AbstractNetwork
from ..tasks import Data
from .abstract import AbstractObservable
from .sums import side_by_side


class Alignment(AbstractObservable):
    """Per feedback matrix: <W, F>, cos = <W, F> / (||W|| ||F||) and the angle in degrees.

    Layerwise feedback F_l is compared with W_l, that of a model with the leaf it stands for, direct
    feedback D_l with W_L ... W_{l+1}. The
    cosine of a zero matrix is undefined and is nan.
    """

    label: ClassVar[str] = "alignment of weights with feedback"
    axes: ClassVar[tuple[str, ...]] = ("feedback",)

    def __call__(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> dict[str, Array]:
        own = counterparts(weights, feedback.form, data.inputs)
        return alignment_table(own, feedback.matrices)


def alignment_table(first: Sequence[Array], second: Sequence[Array]) -> dict[str, Array]:
    """`inner`, `cosine`, `degrees` of matching arrays, one entry per pair."""
    found = side_by_side([*first, *second])
    if len(found) == 1:
        return _table(found[0].reshape(2, len(first), -1))
    tables = [_table(jnp.stack([found[i], found[i + len(first)]])) for i in range(len(first))]
    return {key: jnp.concatenate([table[key] for table in tables]) for key in tables[0]}


def _table(both: Array) -> dict[str, Array]:
    """Of matching rows (2, pairs, entries). The angle is 2 atan2(||u - v||, ||u + v||), with
    u = a/||a||, v = b/||b||: arccos of the cosine loses half the digits where the two align, which
    is what is being measured (Kahan 2006)."""
    a, b = both
    *squares, between = jnp.sum(jnp.stack([a * a, b * b, a * b]), axis=-1)
    sizes = jnp.sqrt(jnp.stack(squares))
    u, v = both / sizes[:, :, None]
    halves = jnp.stack([u - v, u + v])
    apart, together = jnp.sqrt(jnp.sum(halves * halves, axis=-1))
    return {
        "inner": between,
        "cosine": between / (sizes[0] * sizes[1]),
        "degrees": jnp.rad2deg(2 * jnp.arctan2(apart, together)),
    }
