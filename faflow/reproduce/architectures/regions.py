"""Marcotte, Gribonval & Peyre 2025: scalar residual blocks, which keep more where signs agree."""

import jax
import numpy as np

from ...discovery import Region, count_block
from ...feedback import Feedback
from ...plots.panel import Panel
from ...rules import Gradient
from ..check import Reading
from ..claim import Findings
from ..picture import curves, over
from ..session import Session
from .blocks import scalar_net, signed
from .case import GAP, counted

LOOKED_AT = 40  # states, one by one
V, T = "parts.0.block.first.weight[0,0]", "parts.1.block.first.weight[0,0]"
AGREEING = (1.0, 1.0, 1.0, -1.0)  # of v, u, t, s
OPPOSED = (1.0, 1.0, -1.0, 1.0)


def scalar_blocks(session: Session) -> Findings:
    """Leaves in the order v, u, t, s."""
    net, none = scalar_net(2)(jax.random.key(0)), Feedback()
    session.say("two scalar blocks, state by state")
    found = count_block(Gradient(), net, none, (1,), regions=LOOKED_AT)
    agreeing, opposed = (
        count_block(Gradient(), net, none, (1,), draw=signed(*signs))
        for signs in (AGREEING, OPPOSED)
    )
    session.say("three scalar blocks")
    three = scalar_net(3)(jax.random.key(0))
    third = count_block(Gradient(), three, none, (1,))
    tied = count_block(Gradient(), three, none, (1,), draw=signed(1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    wide = [region for region in found.regions if region.laws == 3]
    signs = wide[0].signs if wide else ()
    gaps = [count.gap for count in (found, agreeing, opposed, third, tied)]
    same = float(signs == (f"{V} {T} > 0",))
    measures = [
        counted("laws for all states", found.independent, 2),
        counted("sgn t = sgn v = sgn u: laws", agreeing.independent, 3),
        counted("three blocks, of which two signs agree always: laws", third.independent, 4),
        counted("three blocks, all signs equal: laws", tied.independent, 5),
        Reading(f"{LOOKED_AT} states one by one: t v > 0 is what those with 3 laws share, and "
                "those with 2 lack", same, {"min": 1.0}),
        Reading("smallest gap of a rank", float(np.min(gaps)), {"min": GAP}),
        counted("sgn t ≠ sgn v: laws", opposed.independent, 2, True),
    ]  # fmt: skip
    title = "Two scalar residual blocks: 3 laws if t v > 0, else 2"
    return Findings(measures, session.draw("regions", title, [_pane(found.regions)]))


def _pane(regions: tuple[Region, ...]):
    laws = [region.laws for region in regions]
    shares = {"share of the states": np.array([region.share for region in regions])}
    order = np.argsort(laws)
    shares = {name: values[order] for name, values in shares.items()}
    panel = Panel(["states with so many laws"], "share of states", curves(shares, look="markers"),
                  scale="linear", limits=(0.0, 1.0))  # fmt: skip
    return panel, over("laws", [float(laws[i]) for i in order])
