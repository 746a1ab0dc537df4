"""Feedback for models: one array for each place where the backward pass has feedback, by path.

Layerwise, the places are the leaves that the backward pass meets; direct, the calls of the model's
blocks.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._generator import drawn, seeded
from .._types import Array
from ..networks import Model
from ..networks.model import is_named
from .draw import AbstractDraw, MeanField, Orthogonal
from .feedback import Feedback, Form


class FeedbackPlace(NamedTuple):
    """`path` of a leaf or of a block; the `shape` of its feedback; the terms that are summed for
    every entry of what the leaf is multiplied into, and of a block the numbers of its output."""

    path: str
    shape: tuple[int, ...]
    fan_in: int


def feedback_places(
    model: Model, inputs: Any, form: Form = "layerwise"
) -> tuple[FeedbackPlace, ...]:
    """Where a model has feedback, in the order of `Feedback.matrices`. `inputs`: samples of the
    data, or their shape. ValueError for direct feedback on a model that names no blocks."""
    if form == "none":
        return ()
    if form == "layerwise":
        program, leaves = model.program(inputs), jax.tree.leaves(model)
        uses = ((program.uses[i], leaves[i].shape) for i in program.met)
        return tuple(FeedbackPlace(use.path, shape, use.fan_in or 1) for use, shape in uses)
    if not model.blocks:
        raise ValueError(
            f"Direct feedback sends the error to blocks, but {type(model.module).__name__} names "
            "none; give them as `Model(module, blocks=(...))` or as the class attribute "
            "`feedback_blocks`."
        )
    program = model.cut(inputs)
    outputs = program.closed.out_avals[0].shape[1:]
    return tuple(
        FeedbackPlace(path, (*outputs, *shape), prod(shape)) for path, shape in program.places
    )


def model_feedback(
    draw: AbstractDraw,
    key: Array,
    model: Model,
    inputs: Any,
    form: Form = "layerwise",
    *,
    scales: Mapping[str, float] | None = None,
    seeds: Mapping[str, int] | None = None,
) -> Feedback:
    """Feedback for every place of a model, drawn as for a layer of that fan-in: a leaf of an MLP
    has the draw that `draw_feedback` makes for its layer.

    Direct: D_b (outputs, *shape of the block's output for one sample), fan-in the numbers of that
    output. `scales` multiplies the draw of what its globs name, as "blocks.*"; `seeds` takes it as
    all had been drawn from that seed. Where several globs name one place, the last does. An
    orthogonal draw takes a leaf as its matrix (out, fan_in) or (fan_in, out). ValueError if the
    draw has no meaning for the model, `scale` lists the wrong number of values, or a glob names
    nothing.
    """
    places = feedback_places(model, inputs, form)
    _check_draw(draw, form)
    shapes = [_matrix_shape(draw, place) for place in places]
    rows = [jnp.zeros((0, 0), float)] * len(places)
    if form == "layerwise":
        leaves = dict(zip(model.paths, jax.tree.leaves(model), strict=True))
        rows = [
            leaves[place.path] if leaves[place.path].shape == shape
            else jnp.resize(leaves[place.path], shape)
            for place, shape in zip(places, shapes, strict=True)
        ]  # fmt: skip
    factors = _each("scales", scales or {}, places, 1.0)
    chosen = _each("seeds", seeds or {}, places, None)
    draws = {
        seed: drawn(
            lambda *of: draw.matrices(of[0], shapes, of[1], form),
            key if seed is None else seeded(seed),
            rows,
        )
        for seed in set(chosen)
    }
    arrays = (
        _placed(draws[seed][i], factor, place.shape)
        for i, (place, factor, seed) in enumerate(zip(places, factors, chosen, strict=True))
    )
    return Feedback(tuple(arrays), form)


def _placed(matrix: Array, factor: float, shape: tuple[int, ...]) -> Array:
    """A drawn matrix as its place has it; where it is that already, no operation is compiled."""
    if matrix.shape != shape:
        matrix = matrix.ravel()[: prod(shape)].reshape(shape)
    return matrix if factor == 1.0 else factor * matrix


def feedback_from_arrays(
    arrays: Mapping[str, Any], model: Model, inputs: Any, form: Form = "layerwise"
) -> Feedback:
    """Feedback of one's own, by the paths of `feedback_places`. ValueError that names the path of
    one that is missing, is no place, or has another shape than its place."""
    places = feedback_places(model, inputs, form)
    paths = [place.path for place in places]
    if extra := [path for path in arrays if path not in paths]:
        raise ValueError(
            f"There is no feedback of `{extra[0]}` in {type(model.module).__name__}; it has that "
            f"of {', '.join(paths) or 'nothing'}."
        )
    for place in places:
        if place.path not in arrays:
            raise ValueError(
                f"The feedback of `{place.path}` is missing; its shape is {place.shape}."
            )
        if (given := np.shape(arrays[place.path])) != place.shape:
            raise ValueError(
                f"The feedback of `{place.path}` has the shape {given}, but must have "
                f"{place.shape}."
            )
    return Feedback(tuple(jnp.asarray(arrays[path], float) for path in paths), form)


def _check_draw(draw: AbstractDraw, form: Form) -> None:
    kind = type(draw).__name__
    if isinstance(draw, MeanField):
        raise ValueError(
            f"Feedback {kind} is scaled by the width below the read-out, and a model does not tell "
            "which of its leaves is that; draw gaussian feedback with `scales` by path."
        )
    if form == "direct" and draw.needs_weights:
        raise ValueError(
            f"Feedback {kind} is tied to the weights that the error passes on its way back, but "
            "above a block of a model these are no one matrix; draw gaussian or orthogonal."
        )


def _matrix_shape(draw: AbstractDraw, place: FeedbackPlace) -> tuple[int, int]:
    """A place as rows of its fan-in: several leaves may make up one product, hence rounded up."""
    size, fan = prod(place.shape), place.fan_in
    if not isinstance(draw, Orthogonal):
        return -(-size // fan), fan
    if len(place.shape) == 2:
        return place.shape[0], place.shape[1]
    if place.shape[0] * fan == size or (len(place.shape) == 1 and size % fan == 0):
        return size // fan, fan
    if place.shape[-1] * fan == size:
        return fan, size // fan
    raise ValueError(
        f"Feedback Orthogonal needs matrices, but `{place.path}` of shape {place.shape} is none of "
        f"fan-in {fan}, (out, {fan}); draw gaussian or uniform."
    )


def _each(
    argument: str, by_glob: Mapping[str, Any], places: Sequence[FeedbackPlace], other: Any
) -> list:
    """The value of every place by the last glob that names it, `other` where none does."""
    values = [other] * len(places)
    for glob, value in by_glob.items():
        named = [i for i, place in enumerate(places) if is_named(glob, place.path)]
        if not named:
            raise ValueError(
                f"Argument `{argument}` has '{glob}', which names no feedback of the model; it has "
                f"that of {', '.join(place.path for place in places) or 'nothing'}."
            )
        for i in named:
            values[i] = value
    return values
