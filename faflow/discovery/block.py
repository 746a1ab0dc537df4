"""How many laws a rule has that depend on a block of a model's leaves alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..feedback import Feedback
from ..networks import Model
from ..rules import AbstractLearningRule
from .block_fields import BlockFields, Losses
from .discover import MOST_WEIGHTS
from .lie import Draw, Orbit, find_orbits, independent_laws


class BlockCount(NamedTuple):
    """`independent` = D - rank laws of the leaves `names` alone, D = `size` their entries, for
    these `losses`; None where a rank has no clear gap, or two states disagree."""

    names: tuple[str, ...]
    size: int
    losses: Losses
    orbits: tuple[Orbit, ...]
    independent: int | None

    @property
    def candidates(self) -> tuple[int, ...]:
        """The counts of all states that were looked at: one if they agree."""
        return tuple(sorted({self.size - orbit.rank.rank for orbit in self.orbits}))

    @property
    def gap(self) -> float:
        return min(orbit.rank.gap for orbit in self.orbits)


def count_block(
    rule: AbstractLearningRule,
    model: Any,
    feedback: Feedback,
    sample: Sequence[int],
    block: Sequence[str] = ("*",),
    *,
    losses: Losses = "all",
    draw: Draw | None = None,
    seed: int = 0,
) -> BlockCount:
    """Laws of the leaves that the globs `block` name, whatever stands outside of them.

    `model`: a `Model`, or an equinox Module; `sample`: the shape of one input. `losses`: "all", or
    "cross-entropy" (errors that sum to zero over outputs). `draw`: where the states come from, to
    ask about a region of them. ValueError if the block has more than MOST_WEIGHTS entries, a glob
    names nothing, or the rule does not serve the model.
    """
    net = model if isinstance(model, Model) else Model(model)
    fields = BlockFields(rule, net, feedback, sample, block, losses)
    size, names = len(fields.counted), tuple(leaf.name for leaf in fields.leaves)
    if size > MOST_WEIGHTS:
        sizes = ", ".join(f"{leaf.name} {leaf.size}" for leaf in fields.leaves)
        raise ValueError(
            f"Argument `block` names {size} entries ({sizes}), but {MOST_WEIGHTS} at most are "
            "counted; name fewer leaves."
        )
    orbits = find_orbits(fields, np.random.default_rng(seed), draw)
    return BlockCount(names, size, losses, orbits, independent_laws(size, orbits))
