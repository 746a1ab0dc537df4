"""Everything that is run for a config: its problem, and what is recorded of the flow."""

from typing import NamedTuple

import equinox as eqx
import jax

from .._types import Array
from ..config.blame import blaming
from ..config.errors import ConfigError
from ..config.kinks import estimates_error
from ..config.resolve import Resolved
from ..flow import SKETCH, FlowProblem, Numerics, WeightSketch, solve
from ..observables import AbstractConservationLaw, AbstractObservable
from ..population import AbstractPopulationRule, PopulationLoss
from ..setup.problem import set_up
from ..tasks import Task
from . import observables as observe
from .laws import asked_laws

TWIN = "twin_weights"  # the record by which a flow is compared with its discrete twin
POPULATION_LOSS = "population-loss"  # the record by which it is compared with simulations


class Experiment(NamedTuple):
    """Everything `faflow.flow.solve` takes, and the task; `laws` says which the rule claims,
    `notes` what has to be told of the input."""

    task: Task
    problem: FlowProblem
    ts: Array
    observables: dict[str, AbstractObservable]
    laws: dict[str, tuple[AbstractConservationLaw, bool]]
    numerics: Numerics
    notes: tuple[str, ...] = ()


def build(resolved: Resolved, trusted: bool = False) -> Experiment:
    """The experiment of a config. ConfigError where sections don't fit together.

    `trusted`: a config that differs in numbers only was built before; what shapes and types tell is
    not looked at again, which is half of the time.
    """
    task, problem, ts, numerics, notes = set_up(resolved, trusted)
    laws = _laws(resolved, problem, trusted)
    observables = _observables(resolved, problem, laws)
    experiment = Experiment(task, problem, ts, observables, laws, numerics, notes)
    if not trusted:
        _check_trace(resolved, experiment)
    return experiment


def _check_trace(resolved: Resolved, experiment: Experiment) -> None:
    """Trace the whole flow once if anything in it is the user's: what doesn't fit is said here."""
    if not any(choice.foreign for choice in resolved.suspects.values()):
        return
    key = next(key for key, choice in resolved.suspects.items() if choice.foreign)
    if resolved.suspects["flow.solver"].foreign:
        key = "flow.solver"
    _, problem, ts, observables, _, numerics, _ = experiment
    with blaming(key, resolved.suspects):
        eqx.filter_eval_shape(solve, problem, ts, observables, numerics)


def _laws(
    resolved: Resolved, problem: FlowProblem, trusted: bool
) -> dict[str, tuple[AbstractConservationLaw, bool]]:
    if "laws" not in resolved.names:
        return {}
    if len(problem.weights.weights) < 2:
        raise ConfigError("observe.names", "lists 'laws', but there is no hidden layer; remove it")
    with blaming("rule.kind", resolved.suspects):
        laws = asked_laws(resolved, problem)
        if not trusted:
            jax.eval_shape(
                lambda *point: [(law(*point), law.scale(*point)) for law, _ in laws.values()],
                problem.weights, problem.feedback, problem.data,
            )  # fmt: skip
        return laws


def _observables(resolved: Resolved, problem: FlowProblem, laws) -> dict[str, AbstractObservable]:
    found: dict[str, AbstractObservable] = {}
    for index, name in enumerate(resolved.names):
        with blaming(f"observe.names.{index}", resolved.suspects):
            try:
                found |= observe.OBSERVABLES[name].build(name, problem)
            except ValueError as error:
                raise ValueError(f"is '{name}', which {error}; remove it") from error
    found |= observe.law_observables(laws)
    if resolved.config.observe.save_weights:
        found["weights"] = observe.WeightsNow(observe.feedback_moves(problem))
    if estimates_error(resolved.method):
        found[SKETCH] = WeightSketch()
    if resolved.config.discrete is not None:
        found[TWIN] = observe.WeightsNow(False)
    if resolved.config.simulate is not None and isinstance(problem.rule, AbstractPopulationRule):
        found[POPULATION_LOSS] = PopulationLoss(problem.rule.known())
    return found
