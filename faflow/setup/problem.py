"""From a resolved config to what the flow needs: data, W(0), feedback, rule, times, numerics."""

import itertools
from collections.abc import Mapping
from operator import attrgetter
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array
from ..config.choice import GIVEN
from ..config.errors import ConfigError, shown
from ..config.network import INPUTS, OUTPUTS, NetworkSection, WideSection
from ..config.resolve import Resolved
from ..config.section import TASK
from ..feedback import Feedback
from ..flow import FlowProblem, Numerics
from ..networks import AbstractNetwork
from ..observables import AbstractObservable
from ..rules import AbstractLearningRule, AbstractParticularRule, Misfit, check_sum, forecast, jumps
from ..tasks import Task
from .held_out import held_out_observables
from .numerics import numerics_of
from .split import check_split, split_of
from .start import check_shapes, check_start
from .unread_arrays import unread_arrays
from .weights import weights_and_feedback
from .wide import limit_problem

JUMPS = (
    "modifier 'sign': the field jumps where an entry of it passes 0, and steps go over that; the "
    "flow is no solution to the tolerance asked for, and near a minimum it is the solver's steps"
)
MOST_WEIGHTS = 10**9  # 8 GB, of which a solver keeps a dozen copies


class Setup(NamedTuple):
    """One problem, the times and the numerics it is integrated by, and the task; `notes` has what
    has to be told of the input, `observables` what the network's kind has recorded."""

    task: Task
    problem: FlowProblem
    ts: Array
    numerics: Numerics
    notes: tuple[str, ...]
    observables: Mapping[str, AbstractObservable] = {}


def set_up(resolved: Resolved, trusted: bool = False) -> Setup:
    """The problem of a config, tried at W(0). ConfigError where sections don't fit together.

    `trusted`: a config that differs in numbers only was built before; what shapes and types tell is
    not looked at again, which is half of the time.
    """
    split, config = split_of(resolved), resolved.config
    check_split(resolved, split)
    key, (*_, outputs) = config.key(config.task, TASK), (OUTPUTS, *config.network.widths)
    task: Task = config.task.draw(resolved.task, resolved.loss, key, outputs, resolved.base)
    if isinstance(config.network, WideSection):
        return _wide(resolved, config.network, task, split)
    if isinstance(config.network, NetworkSection):
        _check_widths(resolved, task)
    rule: AbstractLearningRule = resolved.rule.make()
    weights, feedback = weights_and_feedback(resolved, rule.form, task, trusted)
    if isinstance(rule, AbstractParticularRule):
        _check_layers(resolved)
        rule = resolved.ask("rule.kind", _suited, resolved, rule, weights, feedback, task)
    rule = _modified(resolved, rule, weights)
    data = task.data.in_blocks(resolved.flow.block)
    problem = resolved.ask(split or "network", FlowProblem, rule, weights, feedback, data)
    if split is not None:
        resolved.ask(split, check_sum, rule, weights, feedback)
    if not trusted:
        check_shapes(resolved, problem)
    check_start(resolved, problem)
    ts = jnp.asarray(resolved.flow.save_times(config.precision), float)
    numerics = numerics_of(resolved, problem)
    told = [*unread_arrays(resolved), *([JUMPS] if jumps(rule) else [])]
    return Setup(task, problem, ts, numerics, tuple(told), held_out_observables(resolved, task))


def _wide(resolved: Resolved, network: WideSection, task: Task, split: str | None) -> Setup:
    if split is not None:
        what = "is given, but what is solved at infinite width has no sum over samples; remove it"
        raise ConfigError(split, what)
    problem, observables, notes = limit_problem(resolved, network, task)
    check_start(resolved, problem)
    ts = jnp.asarray(resolved.flow.save_times(resolved.config.precision), float)
    notes = (*notes, *unread_arrays(resolved))
    return Setup(task, problem, ts, numerics_of(resolved, problem), notes, observables)


def _check_widths(resolved: Resolved, task: Task) -> None:
    widths = resolved.widths
    features, outputs = task.data.inputs.shape[1], task.data.targets.shape[1]
    for index, name, needed in ((0, INPUTS, features), (len(widths) - 1, OUTPUTS, outputs)):
        if widths[index] != needed:
            given = resolved.task.kind.startswith(GIVEN)
            kind = "the arrays given" if given else f"task.kind = '{resolved.task.kind}'"
            what = f"is {widths[index]}, but the task ({kind}) has {needed} {name}; "
            raise ConfigError(f"network.widths.{index}", f"{what}set it to {needed} or '{name}'")
    count = sum(out * into for into, out in itertools.pairwise(widths))
    if count > MOST_WEIGHTS:
        raise ConfigError(
            "network.widths", f"asks for {count} weights; lower it ({MOST_WEIGHTS} at most)"
        )


def _check_layers(resolved: Resolved) -> None:
    if not isinstance(resolved.config.network, NetworkSection):
        what = f"needs a network of layers, and network.kind = '{resolved.network.kind}' is a model"
        raise ConfigError("rule.kind", f"is '{resolved.rule.kind}', which {what}; use 'mlp'")


def _suited(
    resolved: Resolved,
    rule: AbstractParticularRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    task: Task,
) -> AbstractLearningRule:
    try:
        return rule.suit(weights, feedback, task)
    except Misfit as misfit:
        value = shown(attrgetter(misfit.key)(resolved.config))
        what = misfit.what.replace("VALUE", value).replace("RULE", resolved.rule.kind)
        raise ConfigError(misfit.key, what) from misfit


def _modified(
    resolved: Resolved, rule: AbstractLearningRule, weights: AbstractNetwork
) -> AbstractLearningRule:
    """The rule under its modifiers, with forecasts of what these do to its laws."""
    for choice in resolved.modifiers:
        rule = choice.make(rule=rule)
        resolved.ask(choice.key.removesuffix(".kind"), rule.laws, weights)
    return forecast(rule, weights, "unmodified-") if "laws" in resolved.names else rule
