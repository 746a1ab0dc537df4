"""What is recorded on samples that are held out ([task] test)."""

from collections.abc import Mapping

import numpy as np

from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..observables import Accuracy, HeldOut, Loss, have_right_answers
from ..tasks import Task

TEST = {"test-loss": Loss(), "test-accuracy": Accuracy()}


def held_out_observables(resolved: Resolved, task: Task) -> Mapping[str, HeldOut]:
    """Of the names of TEST that are asked for; the accuracy where targets are labels. ConfigError
    if nothing is held out."""
    found = {}
    for index, name in enumerate(resolved.names):
        if name not in TEST:
            continue
        if task.test is None:
            what = f"is '{name}', but no samples are held out; set task.test = 0.2, say"
            raise ConfigError(f"observe.names.{index}", what)
        if name == "test-loss" or have_right_answers(np.asarray(task.test.targets)):
            test = task.test.in_blocks(resolved.flow.block)
            found[name] = HeldOut(TEST[name], test, f"{TEST[name].label}, of samples held out")
    return found
