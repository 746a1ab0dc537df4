"""Feedback for models: one array for each leaf that the backward pass meets."""

from typing import Any

import jax
import jax.numpy as jnp

from .._generator import drawn
from .._types import Array
from ..networks import Model
from .draw import AbstractDraw, MeanField, Orthogonal
from .feedback import Feedback

OF_LAYERS = (MeanField, Orthogonal)  # they look at whole matrices, with rows and columns


def model_feedback(draw: AbstractDraw, key: Array, model: Model, inputs: Any) -> Feedback:
    """Feedback of every met leaf's shape, entries drawn with the fan-in that its product has.

    `inputs`: samples of the data, or their shape. A leaf of an MLP has the draw that
    `draw_feedback` makes for its layer. ValueError if the draw is made for matrices alone, or
    `scale` lists the wrong number of values.
    """
    if isinstance(draw, OF_LAYERS):
        raise ValueError(
            f"Feedback {type(draw).__name__} is made for the matrices of layers; models take draws "
            "entry by entry (gaussian, uniform, equal, correlated, sign)."
        )
    program, leaves = model.program(inputs), jax.tree.leaves(model)
    met = [leaves[i] for i in program.met]
    fans = [program.uses[i].fan_in or 1 for i in program.met]
    # A leaf as rows of its fan-in: several of them may make up one product, hence `resize`.
    shapes = [(-(-leaf.size // fan), fan) for leaf, fan in zip(met, fans, strict=True)]
    rows = [jnp.resize(leaf, shape) for leaf, shape in zip(met, shapes, strict=True)]
    found = drawn(lambda *of: draw.matrices(of[0], shapes, of[1], "layerwise"), key, rows)
    arrays = (
        matrix.ravel()[: leaf.size].reshape(leaf.shape)
        for matrix, leaf in zip(found, met, strict=True)
    )
    return Feedback(tuple(arrays), "layerwise")
