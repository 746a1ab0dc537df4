"""The data of a config, drawn: what its [task] says, from its seed."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._generator import seeded
from .._types import Array
from ..tasks import AbstractLoss, Task, make_task
from .blame import blaming
from .choice import Choice
from .places import located
from .schema import Config

# Folded into a section's seed, so that one seed draws independent sections. The sections' other
# numbers are in build.py.
TASK = 1


def key_of(config: Config, section: Any, number: int) -> Array:
    """The random key of a section."""
    return jax.random.fold_in(seeded(config.seed_of(section)), np.uint32(number))


def draw_task(
    config: Config, choice: Choice, loss: AbstractLoss, base: Path, suspects: Mapping[str, Choice]
) -> Task:
    """The task of a config whose kind and loss are looked up. ConfigError if it can't be drawn."""
    section, options = config.task, dict(choice.options)
    if isinstance(options.get("file"), str):
        options["file"] = str(located(base, options["file"]))
    known = inspect.signature(make_task).parameters
    with blaming("task", suspects, "task.kind"):
        if clash := (set(options) & set(known)) - {"options"}:
            raise ValueError(f"has an option named {', '.join(clash)}, which [task] has itself")
        own = ":" in choice.kind
        outputs = config.network.widths[-1]
        return make_task(
            choice.entry if own else choice.kind,
            key=key_of(config, section, TASK),
            loss=loss,
            reduction=section.reduction,
            standardise=section.standardise,
            whiten=section.whiten,
            scale=section.scale,
            labels_for=outputs if isinstance(outputs, int) and (own or "file" in options) else None,
            **options,
        )
