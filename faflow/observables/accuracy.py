"""The share of labels that a network gets right, and observables on samples that are held out."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from .._types import Array, Outputs, Record, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..tasks import Data
from .abstract import AbstractObservable


def have_right_answers(targets: np.ndarray) -> bool:
    """Whether all rows of targets (samples, ..., outputs) are one-hot; of one output, signs."""
    if targets.shape[-1] == 1:
        return bool(np.all(np.abs(targets) == 1))
    ones = (targets == 0) | (targets == 1)
    return bool(np.all(ones) and np.all(targets.sum(axis=-1) == 1))


class Accuracy(AbstractObservable):
    """Share of samples (and places) whose largest output is that of the label; of one output, whose
    sign is."""

    label: ClassVar[str] = "share of labels that are right"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Scalar:
        right = _named(data.outputs(weights)) == _named(data.targets)
        shares = jnp.mean(right.reshape(right.shape[0], -1), axis=1, dtype=data.targets.dtype)
        if data.present is None:
            return jnp.mean(shares)
        return jnp.sum(data.present[:, 0] * shares) / jnp.sum(data.present)


def _named(outputs: Outputs) -> Array:
    return outputs > 0 if outputs.shape[-1] == 1 else jnp.argmax(outputs, axis=-1)


class HeldOut(AbstractObservable):
    """`measured` on `test`, samples that are not learned from."""

    measured: AbstractObservable
    test: Data
    label: str
    axes: tuple[str, ...] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Record:
        return self.measured(weights, feedback, self.test)
