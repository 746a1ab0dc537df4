"""The Jacobian of a layerwise rule by matrix products over samples, not column by column.

A weight W_m[i, k] acts on a sample through h_m[i] alone, with the factor a_{m-1}[k], and, where the
rule has it so, through the matrix M_m(W) by which delta_m goes back, s_{m-1} = delta_m M_m (from M
to W by autodiff). With dW_l/dt = -delta_l^T a_{l-1}, a_0..a_{L-1} extended by a 1 for the biases,
the block of dW_l[j, q]/dt and W_m[i, k] is minus

    sum_mu  ddelta_l[j]/dh_m[i] a_{l-1}[q] a_{m-1}[k]       through the deltas
          + delta_l[j] da_{l-1}[q]/dh_m[i] a_{m-1}[k]       through the activity
          + ddelta_l[j]/ds_{m-1}[k] delta_m[i] a_{l-1}[q]   through M_m[i, k]

The first splits into what passes the outputs, of rank n_L per sample (Gauss-Newton, for the
gradient), and the curvature of the activations. Everything is one sum of products per block.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..feedback import Feedback
from ..networks import MLP, AbstractNetwork
from ..tasks import Data
from .abstract import AbstractLearningRule
from .backward import (
    AbstractChainRule,
    AbstractDirectRule,
    AbstractLayerwiseRule,
    says_no_more,
)

CHUNK = 2**22  # numbers that a block of samples may hold at once
Blocks = dict[tuple[int, int], Array]  # (l, m) -> (n_l, n_{l-1} + 1, n_m, n_{m-1} + 1)


def has_jacobian(
    rule: AbstractLearningRule, weights: AbstractNetwork
) -> TypeGuard[AbstractLayerwiseRule]:
    """Whether `rule_jacobian` knows this rule on this network."""
    known = says_no_more(rule, AbstractChainRule) or says_no_more(rule, AbstractDirectRule)
    return known and isinstance(weights, MLP)


def rule_jacobian(
    rule: AbstractLayerwiseRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> Array:
    """d(velocity)/d(weights) (n, n) in the order of the network's leaves: W_1.., beta_1..

    Costs about 2 N n_L n^2 multiplications for N samples and n weights, where column by column
    takes n passes of the field. `rule` must satisfy `has_jacobian`.
    """
    size = sum(weight.size for weight in weights.weights)
    widest = max(size * weights.weights[-1].shape[0], _widest(weights))
    chunk = max(1, CHUNK // widest)
    parts = data.in_blocks(chunk if data.block is None else min(chunk, data.block))
    blocks = parts.summed(lambda part: _blocks(rule, weights, feedback, part))
    return _assembled(blocks, weights)


def _widest(weights: AbstractNetwork) -> int:
    """Numbers per sample of the largest table that `_blocks` makes."""
    return (max(max(weight.shape) for weight in weights.weights) + 1) ** 2


class _Pass(NamedTuple):
    """Per sample: outputs, the extended activities, deltas, slopes, and the signals' curvature.

    `slope[l]` = phi'(h_l), `gate[l]` what the backward pass multiplies by, `bend[l]` = gate' . s_l,
    l = 1..L-1; `forward[p, m]` = dh_p/dh_m (N, n_p, n_m), None for the identity. Layer l hears
    s_l = delta_b B_l, `heard[l]` = (b, B_l): (l + 1, M_{l+1}) or, of a direct rule, (L, D_l).
    """

    heard: dict[int, tuple[int, Array]]
    outputs: Array
    activity: list[Array]
    deltas: list[Array]
    slope: dict[int, Array]
    gate: dict[int, Array]
    bend: dict[int, Array]
    forward: dict[tuple[int, int], Array | None]


def _through(matrix: Array, slope: Array, table: Array | None) -> Array:
    """matrix diag(slope) table: one layer up."""
    scaled = matrix[None, :, :] * slope[:, None, :]
    return scaled if table is None else scaled @ table


def _heard(
    rule: AbstractLayerwiseRule, weights: AbstractNetwork, feedback: Feedback
) -> dict[int, tuple[int, Array]]:
    last = weights.weights[-1]
    if isinstance(rule, AbstractChainRule):
        return dict(enumerate(enumerate(rule.matrices(weights, feedback), start=2), start=1))
    assert isinstance(rule, AbstractDirectRule)
    direct = rule.drive(feedback.matrices, jnp.eye(len(last), dtype=last.dtype))
    return {l: (len(weights.weights), matrix) for l, matrix in enumerate(direct, start=1)}


def _run(
    rule: AbstractLayerwiseRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> _Pass:
    depth, phi = len(weights.weights), weights.activation
    trace, heard = weights.trace(data.inputs), _heard(rule, weights, feedback)
    error = data.error(trace.outputs)
    deltas = [jnp.zeros(0), *rule.deltas(weights, feedback, trace, error)]
    ones = jnp.ones((len(error), 1 if weights.biases else 0), error.dtype)
    activity = [jnp.concatenate([a, ones], axis=1) for a in trace.post[:-1]]
    slope, gate, bend = {}, {}, {}
    for l in range(1, depth):
        h = trace.pre[l - 1]
        slope[l] = jax.jvp(phi, (h,), (jnp.ones_like(h),))[1]
        gate[l], curve = jax.jvp(phi.derivative, (h,), (jnp.ones_like(h),))
        above, matrix = heard[l]
        bend[l] = curve * (deltas[above] @ matrix)
    forward: dict[tuple[int, int], Array | None] = {}
    for m in range(1, depth + 1):
        forward[m, m] = None
        for p in range(m, depth):
            forward[p + 1, m] = _through(weights.weights[p], slope[p], forward[p, m])
    return _Pass(heard, trace.outputs, activity, deltas, slope, gate, bend, forward)


def _blocks(
    rule: AbstractLayerwiseRule, weights: AbstractNetwork, feedback: Feedback, data: Data
) -> Blocks:
    layers, biased = range(1, len(weights.weights) + 1), bool(weights.biases)
    run = _run(rule, weights, feedback, data)
    blocks = _output_blocks(run, layers, data.error)
    for (l, m), table in _curvatures(run, layers[:-1]).items():
        blocks[l, m] -= _spread(table, run.activity[l - 1], run.activity[m - 1])
    for l in layers:
        for m in layers[: l - 1]:
            blocks[l, m] -= _activity_block(run, l, m, biased)
    if isinstance(rule, AbstractChainRule):
        for l in layers[:-1]:
            for m, block in enumerate(_feedback_blocks(rule, weights, feedback, run, l), start=2):
                blocks[l, m] -= jnp.pad(block, ((0, 0),) * 3 + ((0, int(biased)),))
    return blocks


def _output_blocks(run: _Pass, layers: range, error_of: Callable[[Array], Array]) -> Blocks:
    """-sum_{mu, o} (ddelta_l[j]/de[o] a_{l-1}[q]) (de[o]/dh_m[i] a_{m-1}[k]): one product."""
    count = run.outputs.shape[1]
    eye = jnp.eye(count, dtype=run.outputs.dtype)
    # (N, o, o'): one derivative of the loss per output.
    bend = jnp.stack(
        [jax.jvp(error_of, (run.outputs,), (eye[o][None, :] + 0 * run.outputs,))[1]
         for o in range(count)], axis=2,
    )  # fmt: skip
    back = {layers[-1]: jnp.broadcast_to(eye, bend.shape)}  # ddelta_l/de with the gates held
    for l in layers[-2::-1]:
        above, matrix = run.heard[l]
        back[l] = run.gate[l][:, None, :] * (back[above] @ matrix)
    pairs = {l: (back[l], _after(bend, run.forward[layers[-1], l])) for l in layers}
    # (j, q; N, o) and (N, o; i, k): a product of matrices whose left one has to be turned takes
    # half as long again.
    left, right = (
        {l: jnp.einsum(f"noj,nq->{order}", pairs[l][side], run.activity[l - 1]) for l in layers}
        for side, order in enumerate(("jqno", "nojq"))
    )
    rows = len(bend) * count
    whole = -jnp.concatenate([left[l].reshape(-1, rows) for l in layers], axis=0) @ (
        jnp.concatenate([right[l].reshape(rows, -1) for l in layers], axis=1)
    )
    shapes = {l: left[l].shape[:2] for l in layers}
    cuts = np.cumsum([int(np.prod(shapes[l])) for l in layers])[:-1].tolist()
    bands = dict(zip(layers, jnp.split(whole, cuts, axis=0), strict=True))
    return {
        (l, m): block.reshape(*shapes[l], *shapes[m])
        for l in layers
        for m, block in zip(layers, jnp.split(bands[l], cuts, axis=1), strict=True)
    }


def _after(first: Array, second: Array | None) -> Array:
    return first if second is None else first @ second


def _curvatures(run: _Pass, hidden: range) -> dict[tuple[int, int], Array]:
    """ddelta_l/dh_m with the error held, (N, n_l, n_m), or (N, n_l) where it is diagonal."""
    tables = {}
    for m in hidden:
        for l in hidden[::-1]:
            b, matrix = run.heard[l]
            above = tables.get((b, m))
            if above is not None:
                above = run.gate[l][:, :, None] * (matrix.T @ _full(above))
            if l == m:
                own = run.bend[l]
                above = own if above is None else above + _full(own)
            elif (forward := run.forward.get((l, m))) is not None:
                own = run.bend[l][:, :, None] * forward
                above = own if above is None else above + own
            if above is not None:
                tables[l, m] = above
    return tables


def _feedback_blocks(
    rule: AbstractChainRule, weights: AbstractNetwork, feedback: Feedback, run: _Pass, l: int
) -> tuple[Array, ...]:
    """sum_mu ddelta_l[j]/ds_{m-1}[k] delta_m[i] a_{l-1}[q] as (j, q, i, k), carried from all M_m to
    W_2, .., W_L."""
    parts, table = [], run.gate[l]  # ddelta_l/ds_{m-1}, m = l + 1
    for m in range(l + 1, len(weights.weights) + 1):
        part = _spread(table, run.activity[l - 1], run.deltas[m]).transpose(0, 1, 3, 2)
        parts.append(part.reshape(-1, *part.shape[2:]))
        if m in run.gate:
            table = (_full(table) @ run.heard[m - 1][1].T) * run.gate[m][:, None, :]
    used = lambda upper: tuple(rule.backward(upper, feedback.matrices))[l - 1 :]  # noqa: E731
    _, pull = jax.vjp(used, tuple(weights.weights[1:]))
    (moved,) = jax.vmap(pull)(tuple(parts))
    rows = (run.gate[l].shape[1], run.activity[l - 1].shape[1])
    return tuple(block.reshape(*rows, *block.shape[1:]) for block in moved)


def _full(table: Array) -> Array:
    """A diagonal per sample as matrices."""
    if table.ndim == 3:
        return table
    return table[:, :, None] * jnp.eye(table.shape[1], dtype=table.dtype)[None, :, :]


def _spread(table: Array, left: Array, right: Array) -> Array:
    """sum_mu table[mu, j, i] left[mu, q] right[mu, k] as (j, q, i, k)."""
    both = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
    shape = (left.shape[1], right.shape[1])
    if table.ndim == 2:
        width = table.shape[1]
        blocks = (table.T @ both).reshape(width, *shape)
        return _on_diagonal(blocks.transpose(0, 2, 1)).transpose(0, 3, 1, 2)
    rows, columns = table.shape[1:]
    blocks = (table.reshape(len(table), -1).T @ both).reshape(rows, columns, *shape)
    return blocks.transpose(0, 2, 1, 3)


def _on_diagonal(blocks: Array) -> Array:
    """(i, ...) as (i, i, ...)."""
    eye = jnp.eye(len(blocks), dtype=blocks.dtype)
    return eye.reshape(*eye.shape, *(1,) * (blocks.ndim - 1)) * blocks[:, None]


def _activity_block(run: _Pass, l: int, m: int, biased: bool) -> Array:
    """sum_mu delta_l[j] da_{l-1}[q]/dh_m[i] a_{m-1}[k] as (j, q, i, k), m < l."""
    delta, slope, activity = run.deltas[l], run.slope[l - 1], run.activity[m - 1]
    inner = run.forward[l - 1, m]
    if inner is None:
        both = (slope[:, :, None] * activity[:, None, :]).reshape(len(delta), -1)
        product = (delta.T @ both).reshape(delta.shape[1], slope.shape[1], activity.shape[1])
        block = _on_diagonal(product.transpose(1, 0, 2)).transpose(2, 0, 1, 3)
    else:
        moved = (slope[:, :, None] * inner).reshape(len(delta), -1)
        both = (delta[:, :, None] * activity[:, None, :]).reshape(len(delta), -1)
        product = (both.T @ moved).reshape(
            delta.shape[1], activity.shape[1], slope.shape[1], inner.shape[2]
        )
        block = product.transpose(0, 2, 3, 1)
    # The 1 that stands for the bias does not move.
    return jnp.pad(block, ((0, 0), (0, 1), (0, 0), (0, 0))) if biased else block


def _assembled(blocks: Blocks, weights: AbstractNetwork) -> Array:
    """The blocks in the order of the leaves: all matrices, then all biases."""
    layers = range(1, len(weights.weights) + 1)
    parts = [(l, False) for l in layers]
    parts += [(l, True) for l in layers] if weights.biases else []

    def piece(row: tuple[int, bool], column: tuple[int, bool]) -> Array:
        block = blocks[row[0], column[0]]
        if weights.biases:
            block = block[:, -1:] if row[1] else block[:, :-1]
            block = block[..., -1:] if column[1] else block[..., :-1]
        return block.reshape(block.shape[0] * block.shape[1], -1)

    return jnp.block([[piece(row, column) for column in parts] for row in parts])
