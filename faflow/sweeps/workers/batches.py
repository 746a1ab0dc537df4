"""How many members of a program are integrated at once: measured on the device that runs them.

On a CPU it is one: under vmap every member takes the steps of the slowest, two to eight times the
time for small flows. An accelerator is idle with one small flow, and is filled by many.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from ...config.failure import out_of_memory
from ...store.files import replace_text
from ..member import compute_batch, compute_member
from ..plan import SweepPlan

SIZES = (32, 256, 1024)  # tried beside one
GAIN = 0.8  # share of the seconds per member that a larger batch has to come down to
_FILE = "batches.json"


def measured_batch(plan: SweepPlan, program: int) -> int:
    """The batch of a program on this process's device."""
    members = plan.programs[program]
    if jax.default_backend() == "cpu":
        return 1
    return fastest(lambda size: _seconds(plan, members[:size]), len(members))


def fastest(seconds: Callable[[int], float], most: int) -> int:
    """The size, of at most `most`, above which a member takes hardly less time, or too much memory.

    `seconds`: what a batch of some size takes.
    """
    best, least = 1, seconds(1)
    for size in (size for size in SIZES if size <= most):
        try:
            each = seconds(size) / size
        except jax.errors.JaxRuntimeError as error:
            if not out_of_memory(error):
                raise
            break
        if each > GAIN * least:
            break
        best, least = size, each
    return best


def stored_batches(folder: Path) -> dict[int, int]:
    """What was measured before, by program: a sweep that goes on keeps to it."""
    try:
        return {int(k): int(v) for k, v in json.loads((folder / _FILE).read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # whatever lies there
        return {}


def store_batches(folder: Path, batches: dict[int, int]) -> None:
    replace_text(folder / _FILE, json.dumps(batches))


def forget_batches(folder: Path) -> None:
    (folder / _FILE).unlink(missing_ok=True)


def _seconds(plan: SweepPlan, members: Sequence[int]) -> float:
    """Of the second time: the first compiles."""
    resolved, found = [plan.resolve(member) for member in members], 0.0
    for _ in range(2):
        started = time.perf_counter()
        if len(resolved) == 1:
            compute_member(resolved[0], plan.section)
        else:
            compute_batch(resolved, plan.section, trusted=False)
        found = time.perf_counter() - started
    return found
