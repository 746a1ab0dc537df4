"""The limit of infinite width that a config asks for, as a flow, and what is recorded of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..config.errors import ConfigError
from ..config.kinds.kinds import WIDE_KERNELS
from ..config.network import WideSection
from ..config.resolve import Resolved
from ..feedback import Feedback
from ..flow import FlowProblem, room
from ..observables import AbstractObservable
from ..tasks import Data, Task, make_data
from ..wide import (
    DmftLimit,
    KernelPart,
    LayeredKernelsObserved,
    Neurons,
    OutputsAt,
    Table,
    TabulatedKernelsObserved,
    TabulatedTests,
    WideFeedbackAlignment,
    WideKernelsObserved,
    deep_linear,
    dmft,
    finite_network,
    gradient_limit,
    layered_kernels,
    mean_field,
    neurons,
    table_observed,
    tabulated,
)

# Records of the limit.
OUTPUTS, TESTS = "outputs", "test-outputs"
TARGETS, CHANGE, SIGNALS = "target-alignment", "feature-change", "signal-alignment"
COORDINATES = 21_201  # of a quasi-random point
COPIES = 8  # of a matrix between all times that are alive at once, per hidden layer


class LimitFlow(NamedTuple):
    """A flow, what is recorded of it by their names, and what has to be told."""

    problem: FlowProblem
    observables: Mapping[str, AbstractObservable]
    notes: tuple[str, ...] = ()


def limit_problem(resolved: Resolved, network: WideSection, task: Task) -> LimitFlow:
    """The flow of the limit. ConfigError where the equations don't serve the problem."""
    equations = network.solved_by(resolved.rule.kind)
    outputs = task.data.targets.shape[1:]
    if outputs != (1,):
        what = f"has {outputs[-1]} outputs, and the limit has equations for one"
        raise ConfigError("task", f"{what}; give one column of targets")
    if task.data.inputs.ndim != 2 or not jnp.issubdtype(task.data.inputs.dtype, jnp.inexact):
        raise ConfigError("task", "has no vectors for samples, which infinite width asks for")
    rho = rho_of(resolved)
    if resolved.rule.kind == "direct-feedback-alignment" and network.hidden > 1 and rho != 0:
        what = f"is {rho}, but direct feedback to more than one hidden layer has none; set it to 0"
        raise ConfigError("feedback.rho", what)
    if equations == "closed":
        return _closed(resolved, network, task, rho)
    if equations == "neurons":
        return _neurons(resolved, network, task)
    table, notes = table_of(resolved, network, task)
    return _tabulated(resolved, task, table, notes)


def rho_of(resolved: Resolved) -> float:
    """The alignment of the feedback with W(0); 0 for rules without feedback."""
    return float(resolved.feedback.options["rho"]) if resolved.rule.cls.form != "none" else 0.0


def drawn_neurons(resolved: Resolved, network: WideSection, data: Data, batch: int) -> Neurons:
    """One batch of the neurons of one hidden layer."""
    return resolved.ask(
        "network", neurons, resolved.rule.kind, resolved.activation.make(), data.inputs,
        network.neurons, rho=rho_of(resolved), richness=network.richness,
        seed=resolved.config.seed_of(network) + batch, gated=network.gated,
    )  # fmt: skip


def drawn_finite(
    resolved: Resolved, network: WideSection, data: Data, width: int, seed: int
) -> Neurons:
    """A network of finite width."""
    return resolved.ask(
        "simulate", finite_network, resolved.rule.kind, resolved.activation.make(), data.inputs,
        network.hidden, width, rho=rho_of(resolved), richness=network.richness, seed=seed,
        gated=network.gated,
    )  # fmt: skip


def problem_of(found: Neurons, data: Data) -> FlowProblem:
    """The flow of layers, drawn as they are."""
    return FlowProblem(found.rule, found.network, found.feedback, data)


def layers_observed(
    resolved: Resolved, network: WideSection, problem: FlowProblem
) -> LayeredKernelsObserved:
    """The kernels of layers."""
    rule = mean_field(resolved.rule.kind, network.richness)
    first = layered_kernels(problem.weights, problem.feedback, problem.data, rule)[0]
    return LayeredKernelsObserved(rule, first)


def _closed(resolved: Resolved, network: WideSection, task: Task, rho: float) -> LimitFlow:
    limit = deep_linear(network.hidden, rho, network.richness)
    start = limit.start(task.data.inputs.shape[1])
    problem = FlowProblem(WideFeedbackAlignment(limit), start, Feedback(), task.data)
    return LimitFlow(problem, _observed(resolved, task, WideKernelsObserved()))


def _neurons(resolved: Resolved, network: WideSection, task: Task) -> LimitFlow:
    problem = problem_of(drawn_neurons(resolved, network, task.data, 0), task.data)
    return LimitFlow(
        problem, _observed(resolved, task, layers_observed(resolved, network, problem))
    )


def table_of(resolved: Resolved, network: WideSection, task: Task) -> tuple[Table, tuple[str, ...]]:
    """What is solved on a grid of times, by the one solver of each kind; test points come after
    the samples and have no weight."""
    if network.solved_by(resolved.rule.kind) == "matrix":
        everywhere, samples = _with_tests(task), task.data.inputs.shape[0]
        return _matrix(resolved, network, everywhere, samples), ()
    return _sampled(resolved, network, task)


def _sampled(resolved: Resolved, network: WideSection, task: Task) -> tuple[Table, tuple[str, ...]]:
    """Dynamical field theory, sampled. Its losses are sums: another weight of theirs is time."""
    data, test, weight = task.data, task.test, float(task.data.weight)
    _check_coordinates(network, _with_tests(task).inputs.shape[0])
    ts = np.linspace(0.0, resolved.flow.t1, network.times + 1)
    found = resolved.ask(
        "network.neurons", _with_neurons, data.inputs, data.targets[:, 0], ts * weight,
        network.hidden, resolved.activation.make(), resolved.rule.kind, rho=rho_of(resolved),
        richness=network.richness, loss=data.loss, tests=None if test is None else test.inputs,
        particles=network.neurons, batches=network.batches,
        seed=resolved.config.seed_of(network), memory=float(room()),
    )  # fmt: skip
    mean, samples = found.mean, data.inputs.shape[0]
    own = np.asarray(mean.alignments)[:, :, :samples, :samples]
    alignments = np.mean(np.diagonal(own, axis1=2, axis2=3), 2).T
    outputs = (mean.outputs, mean.other_outputs)
    features = np.moveaxis(np.asarray(mean.features), 0, 1)
    tangent, error = np.asarray(mean.tangent), np.asarray(found.error.outputs)
    return Table(ts, *map(np.asarray, outputs), features, alignments, tangent, error), ()


def _with_neurons(*given: Any, **options: Any) -> DmftLimit:
    """`dmft`, whose particles the config calls neurons."""
    try:
        return dmft(*given, **options)
    except ValueError as error:
        raise ValueError(str(error).replace("`particles`", "`neurons`")) from error


def _check_coordinates(network: WideSection, points: int) -> None:
    if 3 * points * (network.times + 1) > COORDINATES:
        fit = COORDINATES // (3 * points) - 1
        what = f"is {network.times}, whose fields at {points} points need more coordinates than "
        what += f"the {COORDINATES} that Sobol's sequence has"
        remedy = f"{fit} would do" if fit >= 2 else "take fewer samples"
        raise ConfigError("network.times", f"{what}; {remedy}")


def _matrix(resolved: Resolved, network: WideSection, data: Data, samples: int) -> Table:
    points, hidden, t1 = data.inputs.shape[0], network.hidden, resolved.flow.t1

    def needed(times: int) -> float:
        return 8.0 * COPIES * hidden * (points * (4 * times + 1)) ** 2

    there, number = room(), jnp.asarray(0.0, float).dtype.itemsize / 8
    if needed(network.times) * number > there:
        fit = network.times
        while fit > 2 and needed(fit) * number > there:
            fit -= 1
        size = needed(network.times) * number / 1e9
        what = f"is {network.times}, whose kernels between all times of {points} points need "
        what += f"{size:.3g} GB, and there are {there / 1e9:.3g} GB"
        remedy = f"{fit} would do" if needed(fit) * number <= there else "take fewer samples"
        raise ConfigError("network.times", f"{what}; {remedy}")
    found = resolved.ask(
        "flow.t1", gradient_limit, data, hidden, network.richness, t1, times=network.times
    )
    features = np.moveaxis(np.asarray(found.features), 0, 1)
    outputs = np.asarray(found.outputs)
    return Table(
        np.asarray(found.ts), outputs, np.asarray(found.other_outputs), features,
        np.asarray(found.gradients).T, np.asarray(found.tangent), np.zeros_like(outputs),
    )  # fmt: skip


def _tabulated(resolved: Resolved, task: Task, table: Table, notes: tuple[str, ...]) -> LimitFlow:
    samples = task.data.inputs.shape[0]
    rule, start = tabulated(table, samples)
    problem = FlowProblem(rule, start, Feedback(), task.data)
    return LimitFlow(problem, _observed(resolved, task, table_observed(table, samples)), notes)


def _with_tests(task: Task) -> Data:
    data, test = task.data, task.test
    if test is None:
        return data
    x, y = (
        np.concatenate([np.asarray(getattr(one, name)) for one in (data, test)])
        for name in ("inputs", "targets")
    )
    weights = np.concatenate([np.ones(len(data.inputs)), np.zeros(len(test.inputs))])
    reduction = "sum" if float(data.weight) == 1 else "mean"
    return make_data(x, y, data.loss, reduction, sample_weights=weights)


def parts_of(kernels: AbstractObservable) -> dict[str, AbstractObservable]:
    """What kernels come to, as records: A(K, y y^T), the features' change, G~^l."""
    change, signals = "relative change of the features", "G~^l, mean over samples"
    return {
        TARGETS: KernelPart(kernels, part="target_alignment", label="A(K, y y^T)"),
        CHANGE: KernelPart(kernels, part="feature_change", label=change, axes=("hidden_layer",)),
        SIGNALS: KernelPart(kernels, part="alignments", label=signals, axes=("signal_layer",)),
    }


def _observed(
    resolved: Resolved, task: Task, kernels: AbstractObservable
) -> dict[str, AbstractObservable]:
    found: dict[str, AbstractObservable] = {OUTPUTS: OutputsAt(task.data.inputs)}
    found |= parts_of(kernels)
    if task.test is not None:
        tabulated = isinstance(kernels, TabulatedKernelsObserved)
        label, axes = "outputs at test points", ("test",)
        at = OutputsAt(task.test.inputs, label=label, axes=axes)
        found[TESTS] = TabulatedTests() if tabulated else at
    if WIDE_KERNELS in resolved.names:
        found[WIDE_KERNELS] = kernels
    return found
