"""Labels that are right, and what is measured on samples that are held out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...flow import FlowProblem
from ...observables import Accuracy, have_right_answers
from ..measure import Entry, Flown, Measure, Observed, Row, Section
from ..tables import number


def _accuracy(name: str, problem: FlowProblem) -> Observed:
    return {name: Accuracy()} if have_right_answers(np.asarray(problem.data.targets)) else {}


def _held_out(name: str, problem: FlowProblem) -> Observed:
    """Made where the task is (`setup/held_out.py`)."""
    del name, problem
    return {}


def _ends(flown: Flown, name: str) -> Section:
    """At the first save and at the last one that was reached."""
    record = flown.solution.records.get(name)
    if record is None:
        return {}
    values = np.asarray(record)[flown.reached]
    return {"initial": float(values[0]), "final": float(values[-1])}


def _test(flown: Flown, summary: Mapping[str, Any]) -> Section:
    """`test`: loss and accuracy there, and how many samples it has."""
    del summary
    found = {key: _ends(flown, f"test-{key}") for key in ("loss", "accuracy")}
    told = {key: ends for key, ends in found.items() if ends}
    test = flown.experiment.task.test
    return {"samples": int(test.inputs.shape[0]), **told} if told and test is not None else {}


def _words(ends: Mapping[str, Any]) -> str:
    return f"{number(ends['initial'])} -> {number(ends['final'])}"


def _rows(section: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Row]:
    del summary
    over = f" ({section['samples']} samples held out)"
    told = [(f"test {key}", _words(section[key])) for key in ("loss", "accuracy") if key in section]
    return [(what, words + (over if i == 0 else "")) for i, (what, words) in enumerate(told)]


ACCURACY = Measure(
    "accuracy",
    section=lambda flown, summary: _ends(flown, "accuracy"),
    rows=lambda section, summary: [("accuracy", _words(section))],
    observables={"accuracy": Entry("share of labels that are right", _accuracy)},
)
TEST = Measure(
    "test",
    section=_test,
    rows=_rows,
    observables={
        "test-loss": Entry("the loss on samples held out (task.test)", _held_out),
        "test-accuracy": Entry("share of their labels that are right", _held_out),
    },
)
