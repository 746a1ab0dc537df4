"""Deep nonlinear nets of infinite width: sampled dynamical mean field theory, marched in time."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from .._types import Array
from ..networks import AbstractActivation
from ..tasks import AbstractLoss


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
    np.asarray(inputs)
    raise NotImplementedError
