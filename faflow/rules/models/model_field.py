"""The fields of rules on any model: its own backward pass, through other weights or from blocks."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ..._types import Array
from ...feedback import Feedback, Form
from ...networks import Model
from ...networks.substitution import ModelProgram
from ...tasks import Data

Backward = Callable[[Any, Any], Sequence[Array]]  # a chain rule's M(W, F)
Drive = Callable[[Sequence[Array], Array, Data], Sequence[Array]]  # (D, f, data) -> s_1, s_2, ...


def model_field(
    backward: Backward, form: Form, model: Model, feedback: Feedback, data: Data
) -> Model:
    """d W / dt = -J_M^T e, e = dLoss/df, with J_M the Jacobian of the outputs in which every weight
    that the signal passes through is M.

    `feedback.matrices` of the form "layerwise": one array for each leaf that the backward pass
    meets, in the order of the leaves. M = W is minus the gradient, of any model.
    """

    def field(part: Data) -> Model:
        leaves = tuple(jax.tree.leaves(model))
        if form == "none" and backward(leaves, ()) is leaves:
            outputs, through = jax.vjp(lambda net: net(part.inputs), model)
            return through(-part.error(outputs))[0]
        program = model.program(part.inputs)
        matrices = feedback.matrices if form == "layerwise" else ()
        ways = backward_leaves(backward, form, model, matrices, program)
        outputs, pull = model.pulled_back(program, ways, part.inputs)
        return pull(-part.error(outputs))

    return data.summed(field)


def backward_leaves(
    backward: Backward, form: Form, model: Model, matrices: Sequence[Array], program: ModelProgram
) -> list[Array]:
    """M, one array for each leaf: W itself where the backward pass meets none."""
    ways = jax.tree.leaves(model)
    met = tuple(ways[i] for i in program.met)
    found = backward(met, tuple(matrices))
    for i, way in zip(program.met, found, strict=True):
        ways[i] = way
    return ways


def direct_field(drive: Drive, model: Model, feedback: Feedback, data: Data) -> Model:
    """The field of direct feedback on a model that names its blocks: the output of block b hears
    s_b = e D_b, in a block all goes back through the weights themselves, the outputs hear e.

    `feedback.matrices` of the form "direct": D_b (outputs, *shape of the block's output for one
    sample), in the order of the program. `drive` has them and the outputs as matrices, and makes
    s_b (samples, numbers of the block's output).
    """

    def field(part: Data) -> Model:
        program = model.cut(part.inputs)
        outputs, pull = model.pulled_back_from_blocks(program, part.inputs)
        rows = [matrix.reshape(outputs[0].size, -1) for matrix in feedback.matrices]
        heard = [
            -signal.reshape(len(outputs), *place.shape)
            for place, signal in zip(program.places, drive(rows, outputs, part), strict=True)
        ]
        return pull(-part.error(outputs), heard)

    return data.summed(field)
