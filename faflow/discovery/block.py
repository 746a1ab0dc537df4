"""How many laws a rule has that depend on a block of a model's leaves alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..feedback import Feedback
from ..networks import Model
from ..rules import AbstractLearningRule, Gradient
from .block_fields import BlockFields, Losses
from .discover import MOST_WEIGHTS
from .lie import Draw, Orbit, find_orbits, independent_laws
from .orthants import orbit_everywhere, sign_planes
from .regions import Region, find_regions


class BlockCount(NamedTuple):
    """`independent` = D - rank laws of the leaves `names` alone, D = `size` their entries, for
    these `losses`; None where a rank has no clear gap, or two states disagree.

    They hold for all states, or for those that were drawn (`drawn`). A rule that looks at the signs
    of weights (`signs`: the leaves) keeps them inside one orthant, and `across` is the orbit of a
    state among all. `regions`: those that were looked for, some with more laws."""

    names: tuple[str, ...]
    size: int
    losses: Losses
    orbits: tuple[Orbit, ...]
    independent: int | None
    drawn: bool = False
    signs: tuple[str, ...] = ()
    across: Orbit | None = None
    regions: tuple[Region, ...] = ()

    @property
    def candidates(self) -> tuple[int, ...]:
        """The counts of all states that were looked at: one if they agree."""
        return tuple(sorted({self.size - orbit.rank.rank for orbit in self.orbits}))

    @property
    def gap(self) -> float:
        return min(orbit.rank.gap for orbit in self.orbits)

    @property
    def states(self) -> str:
        """Which states the count holds for."""
        if self.signs:
            return f"inside one orthant of sign({', '.join(self.signs)})"
        return "those drawn" if self.drawn else "all"

    @property
    def everywhere(self) -> int | None:
        """The laws for all states; None if the count is undecided, or of states that were drawn."""
        if self.across is None:
            return None if self.drawn else self.independent
        return self.size - self.across.rank.rank if self.across.closed else None


def count_block(
    rule: AbstractLearningRule,
    model: Any,
    feedback: Feedback,
    sample: Sequence[int],
    block: Sequence[str] = ("*",),
    *,
    losses: Losses = "all",
    draw: Draw | None = None,
    regions: int = 0,
    seed: int = 0,
) -> BlockCount:
    """Laws of the leaves that the globs `block` name, whatever stands outside of them.

    `model`: a `Model`, or an equinox Module; `sample`: the shape of one input. `losses`: "all", or
    "cross-entropy" (errors that sum to zero over outputs). `draw`: where the states come from, to
    ask about a region of them; `regions`: how many states are looked at one by one, to tell where
    more laws hold. ValueError if the block has more than MOST_WEIGHTS entries, a glob names
    nothing, or the rule does not serve the model.
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
    other = np.random.default_rng([seed, 1])
    planes = _planes(fields, other)
    owners = [leaf.name for leaf in fields.leaves for _ in range(leaf.size)]
    across = orbit_everywhere(fields, orbits[0], planes, other) if planes else None
    found = find_regions(fields, entry_names(fields), other, regions, draw) if regions else ()
    return BlockCount(
        names, size, losses, orbits, independent_laws(size, orbits), draw is not None,
        tuple(dict.fromkeys(owners[plane] for plane in planes)), across, found,
    )  # fmt: skip


def _planes(fields: BlockFields, rng: np.random.Generator) -> tuple[int, ...]:
    """Entries at whose zero the rule's field jumps, but for kinks of the model, where the
    gradient's jumps too."""
    planes = sign_planes(fields, rng)
    if not planes or not fields.kinked:
        return planes
    block = tuple(dict.fromkeys(leaf.path for leaf in fields.leaves))
    gradient = BlockFields(Gradient(), fields.model, Feedback(), fields.sample, block)
    if len(gradient.counted) != len(fields.counted):
        return planes
    kinks = set(sign_planes(gradient, rng))
    return tuple(plane for plane in planes if plane not in kinks)


def entry_names(fields: BlockFields) -> list[str]:
    """`conv1.weight[0,1]` for every entry of the block."""
    return [
        f"{leaf.name}[{','.join(map(str, place))}]" if leaf.shape else leaf.name
        for leaf in fields.leaves
        for place in np.ndindex(*leaf.shape)
    ]
