"""A function of (weights, feedback, data) as an observable."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Record
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..tasks import Data
from .abstract import AbstractObservable


class FunctionObservable(AbstractObservable):
    """`function` (weights, feedback, data) -> array or pytree of arrays. `axes` are numbered."""

    function: Callable[..., Any] = eqx.field(static=True)
    label: str = eqx.field(static=True)
    axes: tuple[str, ...] = eqx.field(static=True, default=())

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Record:
        return jax.tree.map(jnp.asarray, self.function(weights, feedback, data))
