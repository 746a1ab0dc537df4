"""What is evaluated of infinite width once a flow has ended, each as one program."""

import jax
import jax.numpy as jnp
import numpy as np

from ..._compiling import ONCE, compiled
from ..._types import Array, Scalar
from ...feedback import Feedback
from ...networks import AbstractNetwork
from ...observables import AbstractObservable
from ...tasks import Data
from ...wide import DeepLinear, WideKernels, WideLimit, wide_kernels, wide_limit


def losses_of(data: Data, outputs: Array) -> np.ndarray:
    """The loss of outputs (saves, P) at every save."""
    return np.asarray(_losses(data, outputs))


@compiled(ONCE)
def _losses(data: Data, outputs: Array) -> Array:
    return jax.vmap(lambda f: data.value(f[:, None]))(outputs)


def tangent_of(
    kernels: AbstractObservable, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> np.ndarray:
    """K (P, P), as `kernels` see it."""
    return np.asarray(_tangent(kernels, weights, feedback, data))


@compiled(ONCE)
def _tangent(
    kernels: AbstractObservable, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> Array:
    return kernels(weights, feedback, data).tangent


@compiled(ONCE)
def limit_from(
    weights: AbstractNetwork, limit: DeepLinear, data: Data
) -> tuple[WideLimit, WideKernels, Scalar, Scalar]:
    """The limit, its kernels and its loss, and how far the outputs of `weights` are from its own,
    relative."""
    targets = data.targets[:, 0]
    found = wide_limit(limit, data.inputs, targets)
    kernels = wide_kernels(found.network, data.inputs, targets)
    here, there = weights(data.inputs), found.network(data.inputs)
    apart = jnp.linalg.norm(here - there) / jnp.linalg.norm(there)
    return found, kernels, data.value(there), apart
