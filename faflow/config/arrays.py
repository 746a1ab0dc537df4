"""Initial weights and feedback from the user's own `.npz` file."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..feedback import Feedback, Form, feedback_shapes
from ..networks import MLP, AbstractActivation, Model
from ..tasks import load_npz, unknown_arrays

Given = TypeVar("Given")


@dataclass(frozen=True)
class WeightsFromFile:
    """W1..WL (and b1..bL with biases) from `file`, an .npz relative to the config."""

    file: str


@dataclass(frozen=True)
class FeedbackFromFile:
    """F2..FL, or D1..D(L-1) for direct feedback, from `file`, an .npz relative to the config."""

    file: str


def by_path(file: Path, pick: Callable[[Mapping[str, np.ndarray]], Given]) -> Given:
    """What is picked from arrays that have the paths of a model's leaves for names."""
    try:
        return pick(load_npz(file, every=True))
    except ValueError as error:
        raise ValueError(f"File {file}: {error}") from None


def from_file(file: Path, pick: Callable[[Mapping[str, np.ndarray]], Given]) -> Given:
    """What is picked from a file's arrays. ValueError, with names that may have been meant."""
    arrays = load_npz(file)
    try:
        return pick(arrays)
    except ValueError as error:
        near = {name: known for name, known in unknown_arrays(file).items() if known}
        meant = [f"is {name} meant for {known}?" for name, known in near.items()]
        raise ValueError("; ".join([f"File {file} {error}", *meant])) from None


def given_network(
    arrays: Mapping[str, np.ndarray],
    widths: tuple[int, ...],
    activation: AbstractActivation,
    bias: bool,
) -> MLP:
    """The network of W1..WL, b1..bL. ValueError if one is missing, superfluous or misshapen."""
    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    weights = _pick(arrays, "W", dict(enumerate(pairs, start=1)))
    biases = {i: (out,) for i, (out, _) in enumerate(pairs, start=1)} if bias else {}
    return MLP(weights, _pick(arrays, "b", biases), activation)


def given_model(arrays: Mapping[str, np.ndarray], model: Model) -> Model:
    """The model at the arrays of a file, by the paths of its leaves. ValueError if one is missing,
    superfluous or misshapen."""
    leaves, shape = jax.tree.flatten(model)
    wanted = {path: leaf.shape for path, leaf in zip(model.paths, leaves, strict=True)}
    return jax.tree.unflatten(shape, _taken(arrays, wanted, list(arrays), "network"))


def given_feedback(
    arrays: Mapping[str, np.ndarray], widths: tuple[int, ...], form: Form
) -> Feedback:
    """The feedback F2..FL or D1..D(L-1). ValueError if one is missing or misshapen."""
    letter, first = ("F", 2) if form == "layerwise" else ("D", 1)
    shapes = dict(enumerate(feedback_shapes(widths, form), start=first))
    return Feedback(_pick(arrays, letter, shapes), form)


def _pick(
    arrays: Mapping[str, np.ndarray], letter: str, shapes: Mapping[int, tuple[int, ...]]
) -> tuple[Array, ...]:
    found = [name for name in arrays if re.fullmatch(letter + r"\d+", name)]
    wanted = {f"{letter}{index}": shape for index, shape in shapes.items()}
    return _taken(arrays, wanted, found, "network.widths")


def _taken(
    arrays: Mapping[str, np.ndarray],
    wanted: Mapping[str, tuple[int, ...]],
    found: Sequence[str],
    where: str,
) -> tuple[Array, ...]:
    for name, shape in wanted.items():
        if name not in arrays:
            have = ", ".join(arrays) or "nothing"
            raise ValueError(f"has no array {name} of shape {shape} (found: {have}); add it")
        if arrays[name].shape != shape:
            raise ValueError(
                f"has {name} of shape {arrays[name].shape}, but the network needs {shape}; "
                f"correct it or {where}"
            )
    for name in found:
        if name not in wanted:
            raise ValueError(
                f"holds {name}, which this network or rule has no place for; remove it "
                "(or see network.widths, network.bias, rule.kind)"
            )
    return tuple(jnp.asarray(arrays[name], float) for name in wanted)
