"""Deep nonlinear nets of infinite width: sampled dynamical mean field theory, marched in time."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._compiling import LONG, ONCE, compiled
from .._types import Array
from ..networks import ACTIVATIONS, AbstractActivation
from ..tasks import AbstractLoss, Data, make_data
from ..tasks._host import lookup
from .draws import LayerNoise, layer_noise
from .linear import need_one_output
from .marching import Layer, Theory, march

RULES = ("gradient", "feedback-alignment", "direct-feedback-alignment", "hebbian")
HISTORIES = 16  # arrays (T, P, S) a layer that a march holds at once
SMALL = 5e7  # L (T P)^2 S of all batches below which compiling for speed takes longer than it saves


class DmftFields(NamedTuple):
    """At the grid's T times, of P samples (training samples first, then test points) and L layers:
    `outputs` f (T, P); `other_outputs` (T, P): <z^L phi(h^L)> / g0, f by the other route;
    `features` Phi^0..Phi^L, `gradients` G^1..G^{L+1}, `alignments` Gt^1..Gt^{L+1} = <g gt> and
    `pseudo` Gtt^1..Gtt^{L+1} = <gt gt> at equal times, each (L+1, T, P, P); `tangent` K
    (T, P, P); `loss` (T,); `correlation` (L, T): of g^l and gt^l, sum_mu Gt_mumu over
    sqrt(sum_mu G_mumu sum_mu Gtt_mumu)."""

    outputs: Array
    other_outputs: Array
    features: Array
    gradients: Array
    alignments: Array
    pseudo: Array
    tangent: Array
    loss: Array
    correlation: Array


class TwoTimes(NamedTuple):
    """Kernels between two times, (L+1, T, P, T, P), mean over batches."""

    features: Array
    gradients: Array
    alignments: Array


class DmftLimit(NamedTuple):
    """At `ts` (T,): `mean` over batches, `error`, its standard error (zeros for one batch), and
    `two_times` where asked for."""

    ts: Array
    mean: DmftFields
    error: DmftFields
    two_times: TwoTimes | None


def dmft(
    inputs: ArrayLike,
    targets: ArrayLike,
    ts: ArrayLike,
    hidden: int,
    activation: str | AbstractActivation,
    rule: str = "gradient",
    *,
    rho: float = 0.0,
    richness: float = 1.0,
    loss: str | AbstractLoss = "squared",
    tests: ArrayLike | None = None,
    particles: int = 2048,
    batches: int = 4,
    seed: int = 0,
    two_times: bool = False,
    memory: float = 4e9,
) -> DmftLimit:
    """The limit at the times `ts` (T,), increasing from 0, for inputs (P, D) and targets (P,).

    `rule`: "gradient", "feedback-alignment", "direct-feedback-alignment" or "hebbian". `rho`:
    alignment of the feedback with W(0). `tests` (P', D): points that are seen, not learnt.
    `particles`: S per layer and batch; `batches` are independent. `memory`: bytes it may take.
    ValueError for what has no equations here or is too large.
    """
    data, gram, times = _checked(inputs, targets, ts, tests, loss)
    _check(rule, hidden, rho, richness, batches)
    phi: Any = activation
    if isinstance(activation, str):
        phi = lookup("activation", activation, ACTIVATIONS)()
    shape = len(times), len(gram)
    _check_count(particles, hidden, shape, memory)
    theory = Theory(rule, phi, data, jnp.asarray(gram, float), jnp.asarray(times, float),
                    jnp.asarray(rho, float), jnp.asarray(richness, float))  # fmt: skip
    effort = batches * particles * hidden * np.prod(shape) ** 2
    batch_of = compiled(ONCE if effort < SMALL else LONG)(_batch)
    found = [
        batch_of(
            theory, layer_noise(rule, hidden, *shape, particles, seed * batches + batch), two_times
        )
        for batch in range(batches)
    ]
    stacked = jax.tree.map(lambda *x: np.stack(x), *found)
    mean = jax.tree.map(lambda x: jnp.asarray(x.mean(axis=0), float), stacked)
    error = jax.tree.map(_standard_error, stacked[0])
    return DmftLimit(theory.ts, mean[0], error, mean[1])


def _standard_error(values: np.ndarray) -> Array:
    if len(values) == 1:
        return jnp.asarray(np.zeros(values.shape[1:]), float)
    return jnp.asarray(values.std(axis=0, ddof=1) / len(values) ** 0.5, float)


def _batch(
    theory: Theory, noise: tuple[LayerNoise, ...], two_times: bool
) -> tuple[DmftFields, TwoTimes | None]:
    layers, at = march(theory, noise)
    learnt = theory.data.inputs.shape[0]
    loss = jax.vmap(lambda f: theory.data.value(f[:learnt, None]))(at.outputs)
    kernels = [jnp.moveaxis(x, 1, 0) for x in (at.features, at.gradients, at.alignments, at.pseudo)]
    trace = lambda x: jnp.trace(x[:-1, :, :learnt, :learnt], axis1=2, axis2=3)  # noqa: E731
    _, g, both, gt = kernels
    correlation = trace(both) / jnp.sqrt(trace(g) * trace(gt))
    fields = DmftFields(at.outputs, at.other, *kernels, at.tangent, loss, correlation)
    return fields, _two_times(theory, layers) if two_times else None


def _two_times(theory: Theory, layers: tuple[Layer, ...]) -> TwoTimes:
    times, samples = len(theory.ts), len(theory.gram)
    between = lambda a, b: jnp.einsum("tms,uns->tmun", a, b) / a.shape[2]  # noqa: E731
    first = jnp.broadcast_to(theory.gram[None, :, None], (times, samples, times, samples))
    top = jnp.ones_like(first)
    return TwoTimes(
        jnp.stack([first, *(between(x.phi, x.phi) for x in layers)]),
        jnp.stack([*(between(x.g, x.g) for x in layers), top]),
        jnp.stack([*(between(x.g, x.gt) for x in layers), top]),
    )


def _checked(
    inputs: ArrayLike, targets: ArrayLike, ts: ArrayLike, tests: ArrayLike | None, loss: Any
) -> tuple[Data, np.ndarray, np.ndarray]:
    data, times = make_data(inputs, targets, loss), np.asarray(ts, float)
    need_one_output(data)
    if times.ndim != 1 or len(times) < 2 or times[0] != 0 or not np.all(np.diff(times) > 0):
        raise ValueError("Argument `ts` must be times that grow from 0, but is not; see linspace.")
    points = np.asarray(data.inputs, float)
    if tests is not None:
        extra = np.asarray(tests, float)
        if extra.ndim != 2 or extra.shape[1] != points.shape[1]:
            raise ValueError(
                f"Argument `tests` must have the inputs' {points.shape[1]} columns, but has shape "
                f"{extra.shape}."
            )
        points = np.concatenate([points, extra])
    return data, points @ points.T / points.shape[1], times


def _check(rule: str, hidden: int, rho: float, richness: float, batches: int) -> None:
    if rule not in RULES:
        raise ValueError(f"Argument `rule` must be one of {', '.join(RULES)}, but is '{rule}'.")
    if hidden < 1:
        raise ValueError(f"Argument `hidden` must be >= 1, but is {hidden}.")
    if not -1 <= rho <= 1:
        raise ValueError(f"Argument `rho` must lie in [-1, 1], but is {rho}.")
    if rho and rule == "direct-feedback-alignment":
        raise ValueError(f"Argument `rho` must be 0 for direct feedback, but is {rho}.")
    if not richness > 0:
        raise ValueError(f"Argument `richness` must be > 0, but is {richness}.")
    if batches < 1:
        raise ValueError(f"Argument `batches` must be >= 1, but is {batches}.")


def _check_count(count: int, hidden: int, shape: tuple[int, int], memory: float) -> None:
    if count < 8 or count & (count - 1):
        raise ValueError(
            f"Argument `particles` must be a power of 2 from 8, but is {count}; take "
            f"{2 ** max(3, count.bit_length())}."
        )
    each = HISTORIES * 8 * hidden * shape[0] * shape[1]
    if each * count > memory:
        most = int(memory // each)
        fits = 2 ** (most.bit_length() - 1) if most >= 8 else 0
        remedy = f"take {fits}" if fits else "take fewer times or samples, or raise `memory`"
        raise ValueError(
            f"Argument `particles` must fit into {memory:.3g} bytes with {shape[0]} times and "
            f"{shape[1]} samples, but {count} take {each * count:.3g}; {remedy}."
        )
