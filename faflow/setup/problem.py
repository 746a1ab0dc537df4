"""From a resolved config to what the flow needs: data, W(0), feedback, times, observables."""

import itertools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..analysis.law_keeping import KEPT, are_kept, rates_near
from ..config.blame import blaming
from ..config.data import draw_task
from ..config.errors import ConfigError, shown
from ..config.made import make
from ..config.resolve import Resolved, save_times
from ..config.schema import INPUTS, OUTPUTS
from ..flow import (
    FlowProblem,
    Numerics,
    Stops,
    check_exact,
    check_implicit,
    check_polish,
    check_projection,
)
from ..networks import AbstractNetwork
from ..population import AbstractPopulationRule
from ..rules import AbstractLearningRule, FAStar, check_sum, forecast
from ..solvers import SOLVERS, Method
from ..tasks import Squared, Task
from .kink_solvers import check_exact_solver, check_stages, flow_options
from .split import check_split, split_of
from .start import check_network, check_shapes, check_start
from .unread_arrays import unread_arrays
from .weights import network_of, weights_and_feedback

MOST_WEIGHTS = 10**9  # 8 GB, of which a solver keeps a dozen copies


class Setup(NamedTuple):
    """One problem, the times and the numerics it is integrated by, and the task; `notes` has what
    has to be told of the input."""

    task: Task
    problem: FlowProblem
    ts: Array
    numerics: Numerics
    notes: tuple[str, ...]


def set_up(resolved: Resolved, trusted: bool = False) -> Setup:
    """The problem of a config, tried at W(0). ConfigError where sections don't fit together.

    `trusted`: a config that differs in numbers only was built before; what shapes and types tell is
    not looked at again, which is half of the time.
    """
    check_split(resolved, split_of(resolved))
    task = _task(resolved)
    _check_widths(resolved, task)
    rule = make("rule", resolved.rule)
    _check_rule(resolved, rule, task)
    weights, feedback = weights_and_feedback(resolved, rule.form, task)
    weights = network_of(resolved, weights)
    rule = _taught(resolved, rule, task, weights)
    data = task.data.in_blocks(resolved.flow.block)
    modified, split = _modified(resolved, rule, weights), split_of(resolved)
    with blaming(split or "network", resolved.suspects):
        problem = FlowProblem(modified, weights, feedback, data)
        if split is not None:
            check_sum(modified, weights, feedback)
    if not trusted:
        check_network(resolved, problem)
        check_shapes(resolved, problem)
    _check_slaved_readout(problem)
    check_start(resolved, problem)
    ts = jnp.asarray(save_times(resolved.flow, resolved.config.precision), float)
    numerics = _numerics(resolved)
    _check_kinks(resolved, problem, numerics)
    _check_implicit(resolved, problem, numerics)
    if resolved.flow.polish:
        with blaming("flow.polish", resolved.suspects):
            check_polish(problem)
    if resolved.flow.project:
        _check_projection(resolved, problem, numerics)
    return Setup(task, problem, ts, numerics, tuple(unread_arrays(resolved)))


def _task(resolved: Resolved) -> Task:
    loss = make("task.loss", resolved.loss)
    return draw_task(resolved.config, resolved.task, loss, resolved.base, resolved.suspects)


def _check_widths(resolved: Resolved, task: Task) -> None:
    widths = resolved.widths
    features, outputs = task.data.inputs.shape[1], task.data.targets.shape[1]
    for index, name, needed in ((0, INPUTS, features), (len(widths) - 1, OUTPUTS, outputs)):
        if widths[index] != needed:
            kind = f"task.kind = '{resolved.task.kind}'"
            what = f"is {widths[index]}, but the task ({kind}) has {needed} {name}; "
            raise ConfigError(f"network.widths.{index}", f"{what}set it to {needed} or '{name}'")
    count = sum(out * into for into, out in itertools.pairwise(widths))
    if count > MOST_WEIGHTS:
        raise ConfigError(
            "network.widths", f"asks for {count} weights; lower it ({MOST_WEIGHTS} at most)"
        )


def _check_rule(resolved: Resolved, rule: AbstractLearningRule, task: Task) -> None:
    if isinstance(rule, FAStar) and not isinstance(task.data.loss, Squared):
        what = f"is '{resolved.config.task.loss}', but the rule fa-star needs 'squared'"
        raise ConfigError("task.loss", what)
    if isinstance(rule, FAStar) and len(resolved.widths) < 3:
        raise ConfigError("network.widths", "lists no hidden layer, but the rule fa-star needs one")


def _modified(
    resolved: Resolved, rule: AbstractLearningRule, weights: AbstractNetwork
) -> AbstractLearningRule:
    """The rule under its modifiers, with forecasts of what these do to its laws."""
    for index, choice in enumerate(resolved.modifiers):
        path = f"rule.modifiers.{index}"
        rule = make(path, choice, rule=rule)
        with blaming(path, resolved.suspects, f"{path}.kind"):
            rule.laws(weights)
    return forecast(rule, weights, "unmodified-") if "laws" in resolved.names else rule


def _taught(
    resolved: Resolved, rule: AbstractLearningRule, task: Task, weights: AbstractNetwork
) -> AbstractLearningRule:
    """Rules of the population are handed the task's teacher, and see its inputs as drawn."""
    if not isinstance(rule, AbstractPopulationRule):
        return rule
    section, network = resolved.config.task, resolved.config.network
    if network.kind != "mlp":
        what = f"is '{network.kind}', but {resolved.rule.kind} has equations for 'mlp' alone"
        raise ConfigError("network.kind", what)
    for name, plain in (("standardise", False), ("whiten", "none"), ("scale", 1.0)):
        value = getattr(section, name)
        if value != plain:
            what = f"is {shown(value)}, but {resolved.rule.kind} has inputs of N(0, 1); remove it"
            raise ConfigError(f"task.{name}", what)
    with blaming("rule.kind", resolved.suspects):
        return rule.taught(task.teacher, weights)


def _check_slaved_readout(problem: FlowProblem) -> None:
    """FA* solves for its read-out, which needs independent features."""
    if not isinstance(problem.rule, FAStar):
        return
    features = np.asarray(problem.weights.trace(problem.data.inputs).post[-2])
    rank, width = int(np.linalg.matrix_rank(features)), features.shape[1]
    if rank < width:
        what = f"has a last hidden width {width}, but its features have rank {rank}; fa-star needs"
        raise ConfigError("network.widths", f"{what} a width of at most that (see rule.kind)")


def _check_kinks(resolved: Resolved, problem: FlowProblem, numerics: Numerics) -> None:
    """What can't be integrated across kinks, as far as the config's sections could not tell."""
    if resolved.method == "plain":
        check_stages(resolved.flow.solver, numerics.build_solver())
    if resolved.method != "exact":
        return
    check_exact_solver(resolved.flow.solver, numerics.build_solver())
    with blaming("flow.kinks", resolved.suspects):
        check_exact(problem, numerics)


def _check_implicit(resolved: Resolved, problem: FlowProblem, numerics: Numerics) -> None:
    if resolved.method != "exact":
        with blaming("flow.solver", resolved.suspects):
            check_implicit(problem, numerics, numerics.build_solver())


def _check_projection(resolved: Resolved, problem: FlowProblem, numerics: Numerics) -> None:
    """Laws that the field breaks must not be forced upon it."""
    with blaming("flow.project", resolved.suspects):
        check_projection(problem, numerics)
    rates = rates_near(problem.rule.laws(problem.weights), problem)
    for name, kept in are_kept(rates, KEPT[resolved.config.precision]).items():
        if not kept:
            what = f"puts weights back onto the laws, but the field breaks {name}; remove it"
            raise ConfigError("flow.project", what)


def _numerics(resolved: Resolved) -> Numerics:
    flow, stop = resolved.flow, resolved.flow.stop
    given = {k: v for k, v in stop.model_dump().items() if v is not None}
    names = ("rtol", "atol", "atol_scales", "step")
    numbers: dict[str, Any] = {name: getattr(flow, name) for name in names}
    return Numerics(
        **numbers,
        solver=_solver(resolved),
        max_steps=jnp.asarray(np.asarray(flow.max_steps), int),
        tail=flow.tail,
        project=flow.project,
        stops=Stops(**given),
        **flow_options(flow),
    )


def _solver(resolved: Resolved) -> str | Method:
    name = resolved.flow.solver
    if name in SOLVERS:
        return name
    with blaming("flow.solver", resolved.suspects):
        return resolved.suspects["flow.solver"].make()
