"""Which rules have a field that is a sum over samples, and takes it in blocks and over devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._types import Array
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..tasks import Data
from .abstract import AbstractLearningRule
from .backward import AbstractLayerwiseRule
from .kernel import GivenError
from .modifiers.modified import unmodified
from .moving_feedback import AbstractMovingFeedbackRule

PACKAGE = __name__.split(".")[0] + "."
ROWS = 3  # of each of the two blocks


def sums_over_samples(rule: type[AbstractLearningRule]) -> bool:
    """Whether the field of an innermost rule of this class is taken through `Data.summed`.

    Layerwise rules, and those whose feedback moves with feedback alignment's update. FA* solves for
    its read-out and populations have no samples; others see every sample at once as they are
    written.
    """
    return issubclass(rule, AbstractLayerwiseRule | AbstractMovingFeedbackRule)


def check_sum(rule: AbstractLearningRule, weights: AbstractNetwork, feedback: Feedback) -> None:
    """Raise ValueError if the deltas of a rule of the user's are no function of each sample alone.

    `deltas` is handed all samples at once, or those of a block, and may look at their mean, say:
    then the field is no sum over samples, and blocks and devices would change it. Asked of the rule
    at random weights, inputs and errors; not of one that is traced itself.
    """
    inner = unmodified(rule)
    own = type(inner).__module__.startswith(PACKAGE)
    if own or not isinstance(inner, AbstractLayerwiseRule) or _is_traced(inner):
        return
    rng = np.random.default_rng(0)

    def draw(leaf: Any) -> Array:
        return jnp.asarray(rng.standard_normal(jnp.shape(leaf)), jnp.result_type(leaf))

    with jax.ensure_compile_time_eval():
        net, back = jax.tree.map(draw, (weights, feedback))
        dtype = net.weights[0].dtype
        rows = rng.standard_normal((2 * ROWS, net.weights[0].shape[1]))
        error = rng.standard_normal((2 * ROWS, net.weights[-1].shape[0]))
        inputs, error = jnp.asarray(rows, dtype), jnp.asarray(error, dtype)

        def field(part: slice) -> np.ndarray:
            data = Data(inputs[part], error[part], GivenError(), jnp.ones((), dtype))
            leaves = jax.tree.leaves(inner.vector_field(net, back, data))
            return np.concatenate([np.ravel(leaf) for leaf in leaves])

        whole = field(slice(None))
        off = np.linalg.norm(field(slice(ROWS)) + field(slice(ROWS, None)) - whole)
    if not off <= np.finfo(whole.dtype).eps ** 0.5 * np.linalg.norm(whole):
        raise ValueError(
            f"The field of {type(inner).__name__} is no sum over samples: of two blocks together "
            f"it is {off / np.linalg.norm(whole):.2g} of its size away from the sum of theirs; "
            "take all samples at once."
        )


def _is_traced(rule: AbstractLearningRule) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(rule))
