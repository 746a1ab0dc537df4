"""A block at one size: its laws as they are stated, counted, and their rates at fresh states."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np

from ...discovery import BlockCount, BlockFields, FreshPlaces, count_block
from ...discovery.block_fields import Losses
from ...discovery.fresh import FRESH
from ...discovery.lie import Draw
from ...feedback import Feedback
from ...networks import Model
from ...plots.frame import Frame
from ...plots.panel import Level, Panel, brief
from ...plots.style import DASHED, GREY, LAYERS
from ...rules import Gradient
from ..check import Reading
from ..claim import Findings
from ..picture import curves, over
from ..session import Session
from .by_hand import Law, Leaves, relative_rate

KEPT, BROKEN, GAP = 1e-12, 1e-3, 1e4
SEED = 2025  # of fresh states, which no count has seen
FRESH_STATES = [1.0 + i for i in range(FRESH)]


@dataclass(frozen=True)
class BlockCase:
    """`laws`: how many are stated for the leaves `block` of `module`, on inputs of shape `sample`.

    `law`: the stated ones in numpy, None where there are none, or others tell them.
    """

    what: str
    module: Callable[[jax.Array], eqx.Module]
    sample: tuple[int, ...]
    laws: int
    law: Law | None = None
    block: tuple[str, ...] = ("*",)
    losses: Losses = "all"
    draw: Draw | None = None

    def model(self) -> Model:
        return Model(self.module(jax.random.key(0)))

    def count(self) -> BlockCount:
        return count_block(
            Gradient(), self.model(), Feedback(), self.sample, self.block, losses=self.losses,
            draw=self.draw,
        )  # fmt: skip

    def rates(self, law: Law) -> np.ndarray:
        """(FRESH,): the law's largest relative rate over lessons, at states of their own seed."""
        fields = BlockFields(
            Gradient(), self.model(), Feedback(), self.sample, self.block, self.losses
        )
        fresh = FreshPlaces(fields, SEED)
        rates = []
        for at, some in zip(fresh.points, fresh.moves, strict=True):
            leaves, moves = leaves_by_name(fields, at), [leaves_by_name(fields, m) for m in some]
            rates.append(np.max([relative_rate(law, leaves, move) for move in moves]))
        return np.array(rates)


def leaves_by_name(fields: BlockFields, flat: np.ndarray) -> Leaves:
    """The block's leaves by the ends of their paths: `parts.0.block.first.weight` is "first"."""
    ends = np.cumsum([leaf.size for leaf in fields.leaves])[:-1]
    parts = zip(fields.leaves, np.split(flat, ends), strict=True)
    return {_short(leaf.name): part.reshape(leaf.shape) for leaf, part in parts}


def _short(name: str) -> str:
    return re.sub(r"^(parts\.\d+\.|block\.)*", "", name).replace(".weight", "")


@dataclass(frozen=True)
class Control:
    """Something that must break what is stated: another block, whose count must not be the stated
    one (`laws`, of the case), or another law, whose rate must not vanish (`law`)."""

    what: str
    case: BlockCase
    law: Law | None = None


def counted(what: str, found: int | None, stated: int, control: bool = False) -> Reading:
    """A number of laws, to be the stated one."""
    value = None if found is None else float(found)
    return Reading(what, value, {"near": float(stated), "within": 0.0}, control)


def examined(
    session: Session, name: str, title: str, cases: Sequence[BlockCase], controls: Sequence[Control]
) -> Findings:
    """Counts, rates and a picture of both."""
    counts = []
    for case in cases:
        session.say(case.what)
        counts.append(case.count())
    measures = [
        counted(f"{case.what}: laws", count.independent, case.laws)
        for case, count in zip(cases, counts, strict=True)
    ]
    measures.append(
        Reading("smallest gap of a rank", float(np.min([count.gap for count in counts])),
                {"min": GAP})
    )  # fmt: skip
    kept = {case.what: case.rates(case.law) for case in cases if case.law is not None}
    if kept:
        largest = float(np.max(list(kept.values())))
        what = f"largest rate of a law at {FRESH} fresh states, relative"
        measures.append(Reading(what, largest, {"max": KEPT}))
    broken = {}
    for control in controls:
        session.say(f"control: {control.what}")
        if control.law is not None:
            broken[control.what] = control.case.rates(control.law)
            what = f"{control.what}: smallest rate"
            least = float(np.min(broken[control.what]))
            measures.append(Reading(what, least, {"min": BROKEN}, True))
            continue
        found = control.case.count().independent
        off = None if found is None else float(abs(found - control.case.laws))
        what = f"{control.what}: {found} laws, not {control.case.laws}; difference"
        measures.append(Reading(what, off, {"min": 1.0}, True))
    panes = [rank_pane(cases, counts)]
    if kept or broken:
        panes.append(fresh_pane(kept, broken))
    return Findings(measures, session.draw(name, title, panes))


def rank_pane(cases: Sequence[BlockCase], counts: Sequence[BlockCount]) -> tuple[Panel, Frame]:
    """The rank of the fields at the end of longer and longer chains of flows, and where it stops if
    the stated number of laws is right."""
    longest = int(np.max([2, *(len(count.orbits[0].ranks) for count in counts)]))
    drawn, levels = {}, []
    for i, (case, count) in enumerate(zip(cases, counts, strict=True)):
        ranks = [rank.rank for rank in count.orbits[0].ranks]
        full = [*ranks, *[ranks[-1]] * (longest - len(ranks))]
        told = "undecided" if count.independent is None else str(count.independent)
        drawn[f"{case.what}: {count.size} − {ranks[-1]} = {told}"] = np.array(full, float)
        levels.append(Level(float(count.size - case.laws), None, LAYERS[i % len(LAYERS)], DASHED))
    top = float(np.max([np.max(values) for values in drawn.values()]))
    title = "rank, and weights − stated laws (dashed)"
    panel = Panel([title], "rank", curves(drawn), scale="linear", levels=levels,
                  limits=(0.0, 1.15 * top))  # fmt: skip
    return panel, over("flows of a chain", [float(i) for i in range(longest)])


def fresh_pane(kept: dict[str, np.ndarray], broken: dict[str, np.ndarray]) -> tuple[Panel, Frame]:
    """|dQ/dt| over the size of its terms, at fresh states."""
    shown = [*curves(kept, look="markers", floor=1e-17)]
    shown += curves(broken, look="markers", first=len(kept), floor=1e-17)
    title = "rates of controls"
    if kept:
        largest = brief(float(np.max(list(kept.values()))), 2)
        title = f"rates of the laws (largest {largest}) and of controls"
    level = Level(KEPT, f"at most {KEPT:g}", GREY, DASHED)
    panel = Panel([title], "|dQ/dt| / terms", shown, scale="log", levels=[level])
    return panel, over("fresh state", FRESH_STATES)
