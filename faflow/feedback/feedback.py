"""Feedback matrices: what the backward pass uses instead of the transposed weights."""

from functools import reduce
from typing import Literal

import equinox as eqx
import jax

from .._types import Array
from ..networks import AbstractNetwork, Model

Form = Literal["none", "layerwise", "direct"]


class Feedback(eqx.Module):
    """The feedback of a rule.

    `form = "layerwise"`: matrices = (F_2, ..., F_L), F_l of W_l's shape (n_l, n_{l-1}), used as
    F_l^T. `form = "direct"`: matrices = (D_1, ..., D_{L-1}), D_l (n_L, n_l), used as D_l^T e.
    `form = "none"`: no matrices. For a `Model`, layerwise: one array of the shape of each leaf that
    the backward pass meets, in the leaves' order; direct: for each call of a block, in the
    program's order, D (outputs, *shape of the block's output for one sample) (`model_feedback`).
    """

    matrices: tuple[Array, ...] = ()
    form: Form = eqx.field(static=True, default="none")


def counterparts(
    network: AbstractNetwork, form: Form, inputs: Array | None = None
) -> tuple[Array, ...]:
    """What backprop uses in place of each feedback matrix.

    layerwise: W_2, ..., W_L; direct: the products W_L ... W_{l+1}, l = 1..L-1 (exact backprop for
    linear nets); none: (). Of a model, layerwise: the leaves that the backward pass meets at such
    `inputs`; direct: ValueError.
    """
    if form == "none":
        return ()
    if isinstance(network, Model):
        if form == "direct":
            raise ValueError(
                "Direct feedback of a model stands for no weights of its: between a block and the "
                "outputs lies a program, no product of matrices."
            )
        leaves = jax.tree.leaves(network)
        return tuple(leaves[i] for i in network.program(inputs).met)
    if form == "layerwise":
        return network.weights[1:]
    above = network.weights[1:]
    return tuple(reduce(lambda up, low: up @ low, above[l:][::-1]) for l in range(len(above)))
