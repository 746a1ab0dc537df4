"""Everything that is run for a config: its problem, and what is recorded of the flow."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx

from .._compiling import shapes
from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..flow import FlowProblem, solve
from ..networks import AbstractLayeredNetwork
from ..observables import AbstractConservationLaw, AbstractObservable
from ..setup.problem import set_up
from .laws import asked_laws
from .measure import Experiment, Laws, Observed
from .recorded.own import check_axes
from .registry import MEASURES, OBSERVABLES


def build(resolved: Resolved, trusted: bool = False) -> Experiment:
    """The experiment of a config. ConfigError where sections don't fit together.

    `trusted`: a config that differs in numbers only was built before; what shapes and types tell is
    not looked at again, which is half of the time.
    """
    task, problem, ts, numerics, notes, own = set_up(resolved, trusted)
    laws = _laws(resolved, problem, trusted)
    observables = _observables(resolved, problem, laws, own)
    experiment = Experiment(task, problem, ts, observables, laws, numerics, notes)
    if not trusted:
        _check_trace(resolved, experiment)
    return experiment


def _check_trace(resolved: Resolved, experiment: Experiment) -> None:
    """Trace the whole flow once if anything in it is the user's: what doesn't fit is said here."""
    own = [choice.key for choice in resolved.suspects.values() if choice.foreign]
    if not own:
        return
    key = "flow.solver" if "flow.solver" in own else own[0]
    _, problem, ts, observables, _, numerics, _ = experiment
    flown = resolved.ask(key, eqx.filter_eval_shape, solve, problem, ts, observables, numerics)
    check_axes(resolved, experiment, flown.records)


def _laws(resolved: Resolved, problem: FlowProblem, trusted: bool) -> Laws:
    if "laws" not in resolved.names:
        return {}
    layered = isinstance(problem.weights, AbstractLayeredNetwork)
    if layered and len(problem.weights.weights) < 2:
        raise ConfigError("observe.names", "lists 'laws', but there is no hidden layer; remove it")

    laws = resolved.ask("rule.kind", asked_laws, resolved, problem)
    if not trusted:
        point = (problem.weights, problem.feedback, problem.data)
        found = [law for law, _ in laws.values()]
        resolved.ask("rule.kind", shapes, _values, found, *point)
    return laws


def _values(laws: Sequence[AbstractConservationLaw], *point: Any) -> list[Any]:
    return [(law(*point), law.scale(*point)) for law in laws]


def _observables(
    resolved: Resolved, problem: FlowProblem, laws: Laws, own: Mapping[str, AbstractObservable]
) -> Observed:
    """All of them, `own` being those that the set-up made."""
    found: Observed = {}
    for index, name in enumerate(resolved.names):
        if name in own:
            found[name] = own[name]
            continue
        if ":" in name:
            continue  # the user's own (`recorded/own.py`)
        found |= resolved.ask(f"observe.names.{index}", _observable, name, problem)
    for measure in MEASURES.values():
        found |= measure.needs(resolved, problem, laws)
    return found | dict(own)


def _observable(name: str, problem: FlowProblem) -> Observed:
    try:
        return OBSERVABLES[name].build(name, problem)
    except ValueError as error:
        raise ValueError(f"is '{name}', which {error}; remove it") from error


def check(resolved: Resolved, experiment: Experiment) -> list[str]:
    """What has to be said before the flow starts. ConfigError if something can't be measured."""
    return [said for m in MEASURES.values() if (said := m.check(resolved, experiment))]
