"""One thing that was found out of a kind, and the numbers that it is tried on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._generator import drawing, seeded
from ...config.errors import told
from ...feedback import FEEDBACKS, Feedback, Form, draw_feedback
from ...networks import ACTIVATIONS, INITIALISATIONS, MLP
from ...networks.initialise import initial_network
from ...tasks import Data, make_data

WIDTHS, SAMPLES = (5, 4, 3, 2), 7
CLOSE = 1e-8  # relative distance of what ought to be equal but for rounding


class Finding(NamedTuple):
    """What was looked at and found; `ok` is None where nothing was claimed."""

    what: str
    found: str
    ok: bool | None = None

    @property
    def verdict(self) -> str:
        return "-" if self.ok is None else "ok" if self.ok else "BROKEN"


def tried(what: str, look: Callable[[], Finding]) -> Finding:
    """What `look` finds; what the kind raises is a fault of its own."""
    try:
        return look()
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        return Finding(what, f"raised {told(error)}", False)


def normal_numbers(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def distance(one: Any, other: Any) -> float:
    """Largest difference over the largest entry of the second."""
    one, other = np.asarray(one), np.asarray(other)
    return float(np.max(np.abs(one - other)) / (np.max(np.abs(other)) or 1.0))


def shape_text(array: Any) -> str:
    """`float64 (7, 2)`, or what it is instead of an array."""
    if not hasattr(array, "shape"):
        return type(array).__name__
    return f"{array.dtype} {tuple(array.shape)}"


def is_finite(tree: Any) -> bool:
    return all(bool(np.all(np.isfinite(np.asarray(leaf)))) for leaf in jax.tree.leaves(tree))


def key(seed: int = 0) -> jax.Array:
    with drawing():
        return jax.random.fold_in(seeded(0), seed)


def small_data(inputs: int = WIDTHS[0], outputs: int = WIDTHS[-1]) -> Data:
    return make_data(
        np.asarray(normal_numbers(1, SAMPLES, inputs)),
        np.asarray(normal_numbers(2, SAMPLES, outputs)),
    )


def small_net(activation: str = "tanh") -> MLP:
    phi = ACTIVATIONS[activation]()
    return initial_network(INITIALISATIONS["gaussian"](), key(1), WIDTHS, phi)


def small_feedback(form: Form = "layerwise") -> Feedback:
    return draw_feedback(FEEDBACKS["gaussian"](), key(2), WIDTHS, form)
