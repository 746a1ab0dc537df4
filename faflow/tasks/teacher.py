"""Student and teacher: Gaussian inputs labelled by a fixed network."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..networks import ACTIVATIONS, MLP, AbstractNetwork
from ..networks import widths as network_widths
from ._host import Key, Raw, Real, generators, lookup, non_negative, positive
from .gaussian import add_noise


class Teacher(NamedTuple):
    """What labels the inputs: y = network(x) + noise * N(0, 1)."""

    network: AbstractNetwork
    noise: float


@dataclass(frozen=True)
class TeacherLabels:
    """X -> Y, which still knows the teacher; its noise comes from `rng`."""

    teacher: Teacher
    rng: np.random.Generator

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        return add_noise(self._clean, self.rng, self.teacher.noise)(inputs)

    def _clean(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(self.teacher.network(jnp.asarray(inputs, float)), np.float64)


def teacher(
    *,
    key: Key,
    samples: int,
    widths: Sequence[int],
    activation: str = "linear",
    weight_scale: Real = 1.0,
    noise: Real = 0.0,
) -> Raw:
    """X_ij ~ N(0, 1); Y = teacher(X) + noise * N(0, 1), teacher an MLP without biases.

    `widths` lists the teacher's layers, input first and output last; its weights are
    W_l ~ weight_scale * N(0, 1/n_{l-1}). The teacher labels the inputs as the student sees them
    (after preprocessing), so a wide enough student can always reach zero loss at zero noise.
    The setting of Refinetti et al. 2021 (their committee machine: activation "erf").
    ValueError if a size is < 1, fewer than two widths, or an unknown activation.
    """
    if len(widths) < 2:
        raise ValueError(
            "Argument `widths` must list at least the input and output width, "
            f"but is {list(widths)}."
        )
    sizes = [positive("widths", width) for width in widths]
    phi = lookup("activation", activation, ACTIVATIONS)()
    (rng,) = generators(key, 1)
    scale = non_negative("weight_scale", weight_scale)
    weights = [
        scale * rng.standard_normal((out, fan_in)) / np.sqrt(fan_in)
        for fan_in, out in pairwise(sizes)
    ]
    network = MLP(tuple(jnp.asarray(weight, float) for weight in weights), activation=phi)
    return from_teacher(network, key=key, samples=samples, noise=noise)


def from_teacher(network: AbstractNetwork, *, key: Key, samples: int, noise: Real = 0.0) -> Raw:
    """X_ij ~ N(0, 1), X (samples, n_0), labelled by any network: Y = network(X) + noise * N(0, 1).

    For teachers that `teacher` cannot describe: `make_task(partial(from_teacher, network), ...)`.
    """
    # Streams 2 and 3, apart from the one that drew the weights.
    _, inputs_rng, noise_rng = generators(key, 3)
    x = inputs_rng.standard_normal((positive("samples", samples), network_widths(network)[0]))
    return x, TeacherLabels(Teacher(network, non_negative("noise", noise)), noise_rng)
