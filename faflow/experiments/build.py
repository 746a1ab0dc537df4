"""From a resolved config to what the flow needs: data, W(0), feedback, times, observables."""

import dataclasses
import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..feedback import Feedback, Form, draw_feedback
from ..flow import (
    SKETCH,
    FlowProblem,
    Numerics,
    Stops,
    WeightSketch,
    check_exact,
    check_implicit,
    check_polish,
    check_projection,
    solve,
)
from ..networks import MLP, AbstractNetwork, GatedMLP
from ..networks.initialise import initial_network
from ..observables import AbstractConservationLaw, AbstractObservable
from ..population import AbstractPopulationRule, PopulationLoss
from ..rules import AbstractLearningRule, FAStar, check_sum, forecast
from ..solvers import SOLVERS, Method
from ..tasks import Squared, Task
from . import observe
from .asked import asked_laws
from .blame import blaming
from .data import draw_task, key_of
from .errors import ConfigError, shown
from .given import (
    FeedbackFromFile,
    WeightsFromFile,
    from_file,
    given_feedback,
    given_network,
)
from .kept import KEPT, are_kept, rates_near
from .kink_solvers import check_exact_solver, check_stages, flow_options, gate
from .kinks import estimates_error
from .large import check_split, split_of
from .made import make
from .places import located
from .resolve import Resolved, save_times
from .schema import INPUTS, OUTPUTS
from .start import check_network, check_shapes, check_start
from .unread import unread_arrays

# Numbers folded into a section's seed, so that one seed draws independent sections (1 is the
# task's, data.py). Fixed for good: other numbers would be other data.
INIT, FEEDBACK, DISCRETE, SIMULATE = 2, 3, 4, 5

TWIN = "twin_weights"  # the record by which a flow is compared with its discrete twin
POPULATION_LOSS = "population-loss"  # the record by which it is compared with simulations

MOST_WEIGHTS = 10**9  # 8 GB, of which a solver keeps a dozen copies


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
    check_split(resolved, split_of(resolved))
    task = _task(resolved)
    _check_widths(resolved, task)
    rule = make("rule", resolved.rule)
    _check_rule(resolved, rule, task)
    weights, feedback = _weights_and_feedback(resolved, rule.form, task)
    weights = _network(resolved, weights)
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
    laws = _laws(resolved, problem, trusted)
    ts = jnp.asarray(save_times(resolved.flow, resolved.config.precision), float)
    observables = _observables(resolved, problem, laws)
    notes = tuple(unread_arrays(resolved))
    experiment = Experiment(task, problem, ts, observables, laws, _numerics(resolved), notes)
    _check_kinks(resolved, experiment)
    _check_implicit(resolved, experiment)
    if resolved.flow.polish:
        with blaming("flow.polish", resolved.suspects):
            check_polish(problem)
    if resolved.flow.project:
        _check_projection(resolved, experiment)
    if not trusted:
        _check_trace(resolved, experiment)
    return experiment


def section_key(resolved: Resolved, section: Any, number: int) -> Array:
    return key_of(resolved.config, section, number)


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


def _weights_and_feedback(
    resolved: Resolved, form: Form, task: Task
) -> tuple[AbstractNetwork, Feedback]:
    """W(0) and the feedback, whichever of them the other is drawn from last."""
    init = make("init", resolved.init)
    if not isinstance(init, WeightsFromFile) and init.needs_feedback:
        feedback = _feedback(resolved, "layerwise" if form == "none" else form, None)
        weights = _drawn_network(resolved, init, task, feedback)
        return weights, Feedback() if form == "none" else feedback
    if isinstance(init, WeightsFromFile):
        weights = _network_from_file(resolved, init)
    else:
        weights = _drawn_network(resolved, init, task, Feedback())
    return weights, Feedback() if form == "none" else _feedback(resolved, form, weights)


def _drawn_network(
    resolved: Resolved, init: Any, task: Task, feedback: Feedback
) -> AbstractNetwork:
    network = resolved.config.network
    with blaming("init", resolved.suspects, "init.kind"):
        return initial_network(
            init,
            section_key(resolved, resolved.config.init, INIT),
            resolved.widths,
            make("network.activation", resolved.activation),
            bias=network.bias,
            bias_scale=network.bias_scale,
            feedback=feedback.matrices,
            inputs=task.data.inputs,
        )


def _network_from_file(resolved: Resolved, init: WeightsFromFile) -> MLP:
    network = resolved.config.network
    phi = make("network.activation", resolved.activation)
    with blaming("init.file", {}):
        pick = lambda arrays: given_network(arrays, resolved.widths, phi, network.bias)  # noqa: E731
        return from_file(located(resolved.base, init.file), pick)


def _feedback(resolved: Resolved, form: Form, weights: AbstractNetwork | None) -> Feedback:
    draw, widths = make("feedback", resolved.feedback), resolved.widths
    if isinstance(draw, FeedbackFromFile):
        with blaming("feedback.file", {}):
            pick = lambda arrays: given_feedback(arrays, widths, form)  # noqa: E731
            return from_file(located(resolved.base, draw.file), pick)
    if draw.needs_weights and weights is None:
        what = (
            f"is {shown(resolved.feedback.kind)}, tied to W(0), but init "
            f"{shown(resolved.init.kind)} draws W(0) from the feedback; change one of them"
        )
        raise ConfigError("feedback.kind", what)
    with blaming("feedback", resolved.suspects, "feedback.kind"):
        key = section_key(resolved, resolved.config.feedback, FEEDBACK)
        return draw_feedback(draw, key, widths, form, weights)


def _network(resolved: Resolved, weights: AbstractNetwork) -> AbstractNetwork:
    """The same weights in the network that is asked for: behind frozen gates, or with
    `kinks = "smooth"` under the gate in place of relu."""
    network = resolved.config.network
    if network.kind == "gated":
        phi, seed = weights.activation, resolved.config.seed_of(network)
        return GatedMLP(weights.weights, weights.biases, gate=phi, seed=seed)
    phi = gate(resolved.flow)
    return weights if phi is None else dataclasses.replace(weights, activation=phi)


def _check_kinks(resolved: Resolved, experiment: Experiment) -> None:
    """What can't be integrated across kinks, as far as the config's sections could not tell."""
    if resolved.method == "plain":
        check_stages(resolved.flow.solver, experiment.numerics.build_solver())
    if resolved.method != "exact":
        return
    check_exact_solver(resolved.flow.solver, experiment.numerics.build_solver())
    with blaming("flow.kinks", resolved.suspects):
        check_exact(experiment.problem, experiment.numerics)


def _check_implicit(resolved: Resolved, experiment: Experiment) -> None:
    if resolved.method != "exact":
        with blaming("flow.solver", resolved.suspects):
            numerics = experiment.numerics
            check_implicit(experiment.problem, numerics, numerics.build_solver())


def _check_projection(resolved: Resolved, experiment: Experiment) -> None:
    """Laws that the field breaks must not be forced upon it."""
    problem = experiment.problem
    with blaming("flow.project", resolved.suspects):
        check_projection(problem, experiment.numerics)
    rates = rates_near(problem.rule.laws(problem.weights), problem)
    for name, kept in are_kept(rates, KEPT[resolved.config.precision]).items():
        if not kept:
            what = f"puts weights back onto the laws, but the field breaks {name}; remove it"
            raise ConfigError("flow.project", what)


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
