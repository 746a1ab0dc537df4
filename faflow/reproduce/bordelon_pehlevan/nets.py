"""Kernels over time, of finite networks in the mean-field scaling and of their limits."""

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._compiling import LONG, compiled
from ..._types import Array
from ...feedback import Feedback
from ...flow import FlowProblem, Numerics, integrate, solve
from ...networks import ACTIVATIONS, AbstractNetwork, GatedMLP
from ...observables import AbstractObservable
from ...tasks import Data
from ...wide import (
    DeepLinear,
    GradientLimit,
    MeanFieldRule,
    Neurons,
    OutputsAt,
    WideFeedbackAlignment,
    WideKernelsObserved,
    finite_network,
    layer_signals,
    layered_kernels,
    neurons,
)


class Dynamics(NamedTuple):
    """f (T, P); Phi^0..Phi^L and Gt^1..Gt^{L+1} (T, L+1, P, P); K (T, P, P); of networks all with a
    leading axis of seeds. `hidden` (P, N): h^L at the end, `correlation` (T, L): of g^l and gt^l
    over samples and neurons; both empty where there are no neurons."""

    outputs: np.ndarray
    features: np.ndarray
    signals: np.ndarray
    tangent: np.ndarray
    hidden: np.ndarray
    correlation: np.ndarray


NO_NEURONS = np.zeros((0, 0)), np.zeros((0, 0))


class MeanFieldKernels(AbstractObservable):
    """f, `layered_kernels`, and the cosine of g^l and gt^l over samples and neurons."""

    rule: MeanFieldRule
    label: ClassVar[str] = "kernels"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> dict[str, Array]:
        given = weights, feedback, data, self.rule
        features, signals, tangent = layered_kernels(*given)
        return {
            "outputs": weights(data.inputs)[:, 0],
            "features": features,
            "signals": signals,
            "tangent": tangent,
            "correlation": jnp.stack([_cosine(*pair) for pair in layer_signals(*given)]),
        }


def _cosine(one: Array, other: Array) -> Array:
    size = jnp.sqrt(jnp.sum(one**2) * jnp.sum(other**2))
    return jnp.where(size > 0, jnp.sum(one * other) / jnp.where(size > 0, size, 1.0), 0.0)


@compiled(LONG)
def _flows(
    rule: MeanFieldRule, nets: Any, feedbacks: Any, data: Data, ts: Array, numerics: Numerics
) -> dict[str, Array]:
    """One by one: a seed may take 100 MB."""
    see: dict[str, AbstractObservable] = {"k": MeanFieldKernels(rule)}

    def flow(of: tuple[Any, Any]) -> dict[str, Array]:
        found = solve(FlowProblem(rule, *of, data), ts, see, numerics)
        return {**found.records["k"], "hidden": found.weights.trace(data.inputs).pre[-2]}

    return jax.lax.map(flow, (nets, feedbacks))


def flows_of(starts: Iterable[Neurons], data: Data, ts: Any, **how: Any) -> Dynamics:
    """Flows of networks of one shape, one after the other. `how`: to `Numerics`."""
    starts, ts = list(starts), jnp.asarray(ts, float)
    # Gates are drawn from a static seed: each such network is a program of its own.
    gated = isinstance(starts[0].network, GatedMLP)
    parts = [
        _flows(group[0].rule, *_stacked(group), data, ts, Numerics(**how))
        for group in ([[start] for start in starts] if gated else [starts])
    ]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Dynamics(**joined)


def _stacked(group: list[Neurons]) -> tuple[Any, Any]:
    each = [(start.network, start.feedback) for start in group]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def networks(
    rule: str,
    activation: str,
    data: Data,
    shape: tuple[int, int],
    seeds: Iterable[int],
    **more: Any,
) -> list[Neurons]:
    """Networks of `shape` (L, N)."""
    phi = ACTIVATIONS[activation]()
    return [finite_network(rule, phi, data.inputs, *shape, seed=seed, **more) for seed in seeds]


def batches(
    rule: str, activation: str, data: Data, count: int, seeds: Iterable[int], **more: Any
) -> list[Neurons]:
    """Batches of quasi-random neurons: the limit of one hidden layer."""
    phi = ACTIVATIONS[activation]()
    return [neurons(rule, phi, data.inputs, count, seed=seed, **more) for seed in seeds]


def of_linear(limit: DeepLinear, data: Data, ts: Any, **how: Any) -> Dynamics:
    """The closed flow of deep linear nets under rho-aligned feedback; `how`: to `Numerics`."""
    start = limit.start(data.inputs.shape[1])
    problem = FlowProblem(WideFeedbackAlignment(limit), start, Feedback(), data)
    see = {"f": OutputsAt(data.inputs), "k": WideKernelsObserved()}
    records = integrate(problem, jnp.asarray(ts, float), see, Numerics(**how)).records
    kernels = records["k"]
    return Dynamics(
        np.asarray(records["f"]), np.asarray(kernels.features),
        _same_for_all(kernels.alignments, data), np.asarray(kernels.tangent), *NO_NEURONS,
    )  # fmt: skip


def of_gradient(limit: GradientLimit, data: Data) -> Dynamics:
    """The matrix equations of deep linear nets under the gradient, at their own times."""
    return Dynamics(
        np.asarray(limit.outputs), np.moveaxis(np.asarray(limit.features), 0, 1),
        _same_for_all(limit.gradients.T, data), np.asarray(limit.tangent), *NO_NEURONS,
    )  # fmt: skip


def _same_for_all(signals: Array, data: Data) -> np.ndarray:
    """Gt of linear nets (T, L+1), which no sample tells apart, as (T, L+1, P, P)."""
    samples = len(data.targets)
    return np.asarray(signals)[:, :, None, None] * np.ones((samples, samples))
