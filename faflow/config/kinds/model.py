"""A model of a config: its constructor called with what the config and the data say."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..._generator import drawn
from ..._types import Array
from ...networks import Model, is_kinked
from ...tasks import Data
from ..choice import Choice
from ..network import OF_DATA, ModelSection


@dataclasses.dataclass(frozen=True)
class FromConstructor:
    """W(0) as a model's constructor draws it, every array that moves times `scale`."""

    scale: float = 1.0


def model_of(choice: Choice, section: ModelSection, data: Data, key: Array) -> Model:
    """The model at the weights that its constructor draws. ConfigError if it can't be made."""
    told = {name: value for name, value in sizes_of(data).items() if _takes(choice, name)}
    module = drawn(lambda of: choice.make(**told, **_key(choice, of)), key)
    return Model(module, section.frozen, section.blocks, section.true_feedback)


def is_kinked_model(choice: Choice, section: ModelSection, data: Data, key: Array) -> bool:
    """Whether its outputs have kinks in its weights; nothing is drawn to find out."""
    model = eqx.filter_eval_shape(lambda of: model_of(choice, section, data, of), key)
    try:
        return is_kinked(model, data.inputs)
    except Exception:  # by its module, of whatever kind; what faflow makes of one is raised
        if _can_be_traced(model, data):
            raise
        return False  # which is said where the problem is made


def _can_be_traced(model: Model, data: Data) -> bool:
    try:
        eqx.filter_eval_shape(lambda network, inputs: network(inputs), model, data.inputs)
    except Exception:  # of whatever kind: the module is the user's
        return False
    return True


def sizes_of(data: Data) -> dict[str, Any]:
    """What data tell a constructor, by the names of its arguments: `image` (the shape of a sample),
    `inputs` (its last axis), `length` (its first), `tokens` (how many there are, if samples are
    whole numbers), `outputs` (the last axis of the targets)."""
    sample = data.inputs.shape[1:]
    found: dict[str, Any] = {"image": sample, "inputs": sample[-1], "length": sample[0]}
    if not np.issubdtype(data.inputs.dtype, np.inexact):
        found["tokens"] = int(np.max(np.asarray(data.inputs))) + 1
    return {**found, "outputs": data.targets.shape[-1]}


def _takes(choice: Choice, name: str) -> bool:
    return name in OF_DATA and name not in choice.options and name in _parameters(choice.entry)


def _key(choice: Choice, key: Array) -> dict[str, Array]:
    return {"key": key} if "key" in _parameters(choice.entry) else {}


def _parameters(constructor: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(constructor).parameters)


def scaled(model: Model, scale: float) -> Model:
    """Every array that moves times `scale`."""
    return model if scale == 1 else jax.tree.map(lambda leaf: leaf * scale, model)
