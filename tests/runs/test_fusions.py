"""How much there is to compile of a flow: XLA takes about as long as there are fusions."""

import re

import numpy as np
import pytest

from faflow.config.resolve import resolve_path
from faflow.flow import Flow, settled
from faflow.flow.loop import slices
from faflow.measures.experiment import build

# The most that the step loop may have, and all programs of a flow together.
FUSIONS = {"theorem1-linear": (75, 190), "theorem1-relu": (490, 580)}


def fusions(ready) -> int:
    return len(re.findall(r" fusion\(", ready.compiled.as_text()))


@pytest.mark.parametrize("name", FUSIONS)
def test_programs_are_short(name: str) -> None:
    made = build(resolve_path(name))
    numerics = settled(made.problem, made.numerics)
    flow = Flow(made.problem, made.ts, made.observables, numerics)
    begin, go_on, observed = slices.programs_of_flows()
    first = begin.ready(flow)
    underway = first(flow)
    limits = np.asarray(1), np.asarray(made.ts.size)
    onwards = go_on.ready(flow, underway, *limits, 0)
    last = observed.ready(flow, underway.rows, underway.carry)
    counts = [fusions(one) for one in (first, onwards, last)]
    loop, together = FUSIONS[name]
    assert counts[1] <= loop and sum(counts) <= together, counts
    assert min(counts) > 0
