"""A task: its arrays, what a seed does, and which losses it serves."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...tasks import LOSSES, Task, make_task
from .finding import Finding, key, tried


def try_task(draw: Any, name: str, options: Mapping[str, Any]) -> list[Finding]:
    kind = draw if ":" in name else name
    held: list[Task] = []

    def made(seed: int, loss: str = "squared") -> Task:
        return make_task(kind, key=key(seed), loss=loss, **options)

    def data() -> Finding:
        held.append(made(3))
        facts = held[0].facts
        told = [f"{what} {facts[what]}" for what in ("samples", "features", "outputs", "rank")
                if what in facts]  # fmt: skip
        return Finding("data", ", ".join(told), True)

    found = [tried("data", data)]
    if not held:
        return found
    again, other = made(3), made(4)
    same, moves = _alike(held[0], again), not _alike(held[0], other)
    served, refused = [], []
    for loss in LOSSES:
        try:
            made(3, loss)
            served.append(loss)
        except ValueError:
            refused.append(loss)
    told = f"serves {', '.join(served)}" + (f"; not {', '.join(refused)}" if refused else "")
    return [
        *found,
        Finding("seed", "one seed is one data set" if same else "one seed draws twice", same),
        Finding("other seed", "other data" if moves else "the same data: nothing is random"),
        Finding("losses", told, bool(served)),
    ]


def _alike(one: Task, other: Task) -> bool:
    pairs = ((one.data.inputs, other.data.inputs), (one.data.targets, other.data.targets))
    return all(np.array_equal(a, b) for a, b in pairs)
