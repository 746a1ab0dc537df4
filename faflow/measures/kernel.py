"""The effective tangent kernel of a rule that has one."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..analysis.kernel import kernel_observable
from ..flow import FlowProblem
from .measure import Entry, Flown, Measure, Observed, Section, line
from .tables import number


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """The kernel's numbers at the first save and at the last that was reached."""
    del summary
    record, reached = flown.solution.records.get("kernel"), flown.reached
    if record is None:
        return None
    values = {name: np.asarray(series)[reached] for name, series in record.items()}
    ends = {"initial": 0, "final": -1}
    return {end: {name: float(v[i]) for name, v in values.items()} for end, i in ends.items()}


def _line(kernel: Mapping[str, Any]) -> str:
    start, end = kernel["initial"], kernel["final"]
    cosine, share, rate = (
        f"{number(start[key])} -> {number(end[key])}" for key in ("cosine", "share", "smallest")
    )
    return (
        f"moved by {number(end['change'])} of its norm; cosine with backprop's {cosine}, "
        f"share of it {share}; smallest rate {rate}"
    )


def _observable(name: str, problem: FlowProblem) -> Observed:
    kernel = kernel_observable(problem)
    return {} if kernel is None else {name: kernel}


KERNEL = Measure(
    "kernel",
    _section,
    line("kernel", _line),
    observables={
        "kernel": Entry("the rule's tangent kernel: size, spectrum, symmetry, change", _observable)
    },
)
