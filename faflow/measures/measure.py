"""A measure: one thing that is measured of a flow, from what is recorded for it to its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .._types import Array
from ..config.resolve import Resolved
from ..flow import FlowProblem, FlowSolution, KinkError, Numerics
from ..observables import AbstractConservationLaw, AbstractObservable
from ..tasks import Task
from .variables.groups import Group, Variable

Observed = dict[str, AbstractObservable]
Laws = dict[str, tuple[AbstractConservationLaw, bool]]
Section = dict[str, Any]
Row = tuple[str, str]
Note = Callable[[str], None]


class Entry(NamedTuple):
    """What a name of `observe.names` records, in a sentence, and how to make it; `build` raises
    ValueError, as the end of a sentence, where it makes no sense."""

    about: str
    build: Callable[[str, FlowProblem], Observed]


class Experiment(NamedTuple):
    """Everything `faflow.flow.solve` takes, and the task; `laws` says which the rule claims,
    `notes` what has to be told of the input."""

    task: Task
    problem: FlowProblem
    ts: Array
    observables: Observed
    laws: Laws
    numerics: Numerics
    notes: tuple[str, ...] = ()


class Flown(NamedTuple):
    """A flow that has run, the error that its kinks may have made, and what measures ran `beside`
    it, by their names."""

    resolved: Resolved
    experiment: Experiment
    solution: FlowSolution
    error: KinkError | None = None
    beside: Mapping[str, Any] = {}

    @property
    def problem(self) -> FlowProblem:
        return self.experiment.problem

    @property
    def reached(self) -> np.ndarray:
        """Which saves the flow came to."""
        return np.asarray(self.solution.reached)

    @property
    def time(self) -> Variable:
        """The times of these."""
        attrs = {"long_name": "time", "units": "time"}
        return Variable(("time",), np.asarray(self.solution.ts)[self.reached], attrs)


def _nothing(*_: Any) -> Any:
    return {}


@dataclass(frozen=True)
class Measure:
    """All that faflow knows of a thing that is measured. The parts that one lacks are left out.

    `name`: of its section in `summary.json` and of its bounds in [expect].
    `section` (flown, the summary so far): that section; empty where it makes no sense.
    `rows` (section, summary): its rows in the table of a run, what and how it is.
    `warnings` (flown, section of JSON's types or {}): what a reader has to know.
    `observables`: entries of `observe.names`, whose records it reads.
    `needs` (resolved, problem, laws): what else has to be recorded for it; `apart` names those of
    its records that are no variables of the group `records`.
    `check` (resolved, experiment): ConfigError if it can't be measured, a word if that takes long.
    `beside` (resolved, experiment, solution, note): what is run beside the flow.
    `groups` (flown): groups of variables of its own, stored beside `records`; sweeps gather those
    named in `gathered`.
    `errors`: its figures that are themselves errors. They have no digits to certify, but must fall
    with the tolerance.
    """

    name: str
    section: Callable[[Flown, Mapping[str, Any]], Section | None] = _nothing
    rows: Callable[[Mapping[str, Any], Mapping[str, Any]], list[Row]] = _nothing
    warnings: Callable[[Flown, Mapping[str, Any]], list[str]] = lambda flown, section: []
    observables: Mapping[str, Entry] = field(default_factory=dict)
    needs: Callable[[Resolved, FlowProblem, Laws], Observed] = _nothing
    apart: tuple[str, ...] = ()
    check: Callable[[Resolved, Experiment], str] = lambda resolved, experiment: ""
    beside: Callable[[Resolved, Experiment, FlowSolution, Note], Any] | None = None
    groups: Callable[[Flown], dict[str, Group]] = _nothing
    gathered: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def line(name: str, words: Callable[[Mapping[str, Any]], str]):
    """The rows of a measure that has one."""
    return lambda section, summary: [(name.replace("_", " "), words(section))]


def recorded(make: Callable[[], AbstractObservable]) -> Callable[[str, FlowProblem], Observed]:
    """The builder of an observable that there is for every problem."""
    return lambda name, problem: {name: make()}
