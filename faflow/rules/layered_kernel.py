"""The effective kernel of a rule that is its deltas on an MLP, and its two halves, by layers.

With g_l (m, n_l) backprop's delta_l of a unit error at one of the m = samples * outputs outputs,
gt_l the rule's, and a_{l-1} the activities below,

    J_f dW = sum_l g_l . (a_{l-1} dW_l^T),   A e = -(sum over outputs of e gt_l)^T a_{l-1},
    K = -J_f A = sum_l (g_l gt_l^T) . (a_{l-1} a_{l-1}^T),

a 1 added to the activities' products if there are biases: products of matrices, where
`effective_kernel` takes a field for every column.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array, Matrix, Outputs
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..tasks import Data
from .backward import AbstractLayerwiseRule
from .layerwise import Gradient


class LayerRows(NamedTuple):
    """Of every layer the activities below (samples, n_{l-1}), and (samples, outputs, n_l): what a
    unit error at every output makes of backprop's delta, and of the rule's. `outputs`: f."""

    below: tuple[Array, ...]
    back: tuple[Array, ...]
    mine: tuple[Array, ...]
    outputs: Outputs


def layer_rows(
    rule: AbstractLayerwiseRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> LayerRows:
    """At these weights, for a rule that satisfies `has_jacobian`."""
    trace, (samples, outputs) = weights.trace(data.inputs), data.targets.shape
    units = jnp.eye(outputs, dtype=data.targets.dtype)

    def deltas(of: AbstractLayerwiseRule) -> tuple[Array, ...]:
        def to_unit(error: Array) -> tuple[Array, ...]:
            return of.deltas(weights, feedback, trace, jnp.broadcast_to(error, (samples, outputs)))

        return jax.vmap(to_unit, out_axes=1)(units)

    return LayerRows(tuple(trace.post[:-1]), deltas(Gradient()), deltas(rule), trace.outputs)


def kernel_of(rows: LayerRows, biases: bool) -> Matrix:
    """K (m, m), outputs running fastest."""
    outputs = rows.outputs.shape[1]
    kernel = jnp.zeros((rows.outputs.size,) * 2, rows.outputs.dtype)
    for below, back, mine in zip(rows.below, rows.back, rows.mine, strict=True):
        inputs = below @ below.T + (1 if biases else 0)
        inputs = jnp.repeat(jnp.repeat(inputs, outputs, 0), outputs, 1)
        both = (row.reshape(rows.outputs.size, -1) for row in (back, mine))
        kernel = kernel + inputs * (next(both) @ next(both).T)
    return kernel


def outputs_move(rows: LayerRows, moves: AbstractNetwork) -> Outputs:
    """J_f dW (samples, outputs)."""
    found = jnp.zeros_like(rows.outputs)
    for l, (below, back) in enumerate(zip(rows.below, rows.back, strict=True)):
        signal = below @ moves.weights[l].T
        signal = signal + moves.biases[l][None, :] if moves.biases else signal
        found = found + jnp.sum(back * signal[:, None, :], axis=-1)
    return found


def driven_by(rows: LayerRows, error: Outputs, like: AbstractNetwork) -> AbstractNetwork:
    """A e: the velocity that an error drives."""
    deltas = [jnp.sum(error[:, :, None] * mine, axis=1) for mine in rows.mine]
    weights = tuple(-delta.T @ below for delta, below in zip(deltas, rows.below, strict=True))
    biases = tuple(-jnp.sum(delta, axis=0) for delta in deltas) if like.biases else ()
    leaves = jax.tree.leaves((weights, biases))
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
