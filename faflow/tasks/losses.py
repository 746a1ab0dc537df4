"""Losses: the value per sample and, written by hand, its derivative with respect to the outputs."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._types import Array, Outputs, PerSample


class AbstractLoss(eqx.Module):
    """A loss l(f, y) of one sample's outputs f and targets y; samples are rows.

    Outputs are (samples, outputs), or (samples, places, outputs) with targets at every place of a
    sequence (any number of axes of places): l is then summed over the places of a sample.
    """

    @abc.abstractmethod
    def value(self, outputs: Outputs, targets: Outputs) -> PerSample:
        """l(f, y) of every sample, (samples,)."""

    @abc.abstractmethod
    def error(self, outputs: Outputs, targets: Outputs) -> Outputs:
        """dl/df of every sample, of the outputs' shape: the error the learning rules send back."""

    @abc.abstractmethod
    def check(self, targets: np.ndarray) -> None:
        """ValueError if the loss is not defined for these targets (samples, ..., outputs)."""


class Squared(AbstractLoss):
    """l = 1/2 ||f - y||^2, dl/df = f - y."""

    def value(self, outputs: Outputs, targets: Outputs) -> PerSample:
        return per_sample((outputs - targets) ** 2) / 2

    def error(self, outputs: Outputs, targets: Outputs) -> Outputs:
        return outputs - targets

    def check(self, targets: np.ndarray) -> None:
        return None


class CrossEntropy(AbstractLoss):
    """Softmax over the last axis for two or more outputs, logistic for one.

    Two or more: l = -sum_j y_j log softmax(f)_j, dl/df = softmax(f) - y; each row of y is a
    probability vector (one-hot labels are one). One output: l = log(1 + exp(-y f)),
    dl/df = -y / (1 + exp(y f)), with y in {-1, +1}. At every place of a sequence, where there are.
    """

    def value(self, outputs: Outputs, targets: Outputs) -> PerSample:
        if outputs.shape[-1] == 1:
            return per_sample(jax.nn.softplus(-targets * outputs)[..., 0])
        return -per_sample(targets * jax.nn.log_softmax(outputs, axis=-1))

    def error(self, outputs: Outputs, targets: Outputs) -> Outputs:
        if outputs.shape[-1] == 1:
            return -targets * jax.nn.sigmoid(-targets * outputs)
        # Rounded rows of y sum to 1 only nearly: with their sum this is the exact derivative.
        total = jnp.sum(targets, axis=-1, keepdims=True)
        return total * jax.nn.softmax(outputs, axis=-1) - targets

    def check(self, targets: np.ndarray) -> None:
        if targets.shape[-1] == 1:
            _check_signs(targets)
        else:
            _check_probabilities(targets)


class LogCosh(AbstractLoss):
    """l = sum_j log cosh(f_j - y_j), dl/df = tanh(f - y): squared near 0, absolute far away."""

    def value(self, outputs: Outputs, targets: Outputs) -> PerSample:
        return per_sample(_log_cosh(outputs - targets))

    def error(self, outputs: Outputs, targets: Outputs) -> Outputs:
        return jnp.tanh(outputs - targets)

    def check(self, targets: np.ndarray) -> None:
        return None


def per_sample(values: Float[Array, "samples *rest"]) -> PerSample:
    """Their sum over all axes but that of the samples."""
    axes = tuple(range(1, values.ndim))
    return jnp.sum(values, axis=axes) if axes else values


def _log_cosh(z: Outputs) -> Outputs:
    # cosh z = 1 + 2 sinh(z/2)^2 keeps relative accuracy as z -> 0, where |z| - log 2 + ... cancels
    # and would put a floor of 1e-16 under a decaying loss; sinh overflows for large z, hence two.
    near = jnp.log1p(2 * jnp.sinh(jnp.clip(z, -1, 1) / 2) ** 2)
    far = jnp.abs(z) + jnp.log1p(jnp.exp(-2 * jnp.abs(z))) - math.log(2.0)
    return jnp.where(jnp.abs(z) < 1, near, far)


def _check_signs(targets: np.ndarray) -> None:
    wrong = targets[np.abs(targets) != 1]
    if wrong.size:
        raise ValueError(
            "Argument `targets` must be -1 or +1 for cross-entropy with one output, "
            f"but holds {wrong[0]}; map two labels to -1 and +1, or give several classes an output "
            "each."
        )


def _check_probabilities(targets: np.ndarray) -> None:
    sums = targets.sum(axis=-1)
    wrong = np.argwhere((targets < 0).any(axis=-1) | (np.abs(sums - 1) > 1e-5))
    if wrong.size:
        row = tuple(int(i) for i in wrong[0])
        at = row[0] if len(row) == 1 else list(row)
        raise ValueError(
            "Argument `targets` must have rows >= 0 that sum to 1 for cross-entropy, but row "
            f"{at} has minimum {targets[row].min()} and sum {sums[row]}; use one-hot labels."
        )


LOSSES: dict[str, type[AbstractLoss]] = {
    "squared": Squared,
    "cross-entropy": CrossEntropy,
    "logcosh": LogCosh,
}
