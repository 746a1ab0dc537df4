"""The effective tangent kernel of a rule: df/dt = -K e, e = dLoss/df (samples, outputs).

For one output and layers l = 1..L, K_{mu nu} = sum_l G^l_{mu nu} Phi^{l-1}_{mu nu}, with
Phi^l = a_l(mu) . a_l(nu) and G^l = g_l(mu) . gt_l(nu), g_l backprop's delta_l of a unit error and
gt_l the rule's (Bordelon & Pehlevan 2022, whose layers count from 0). Biases add sum_l G^l.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Kernel, Matrix, Outputs, PerSample, Scalar
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..networks.draws import frobenius
from ..observables import AbstractObservable
from ..tasks import AbstractLoss, Data
from ..tasks.losses import per_sample
from .abstract import AbstractLearningRule, State, weight_velocity
from .layerwise import Gradient
from .modifiers.modified import AbstractModifiedRule

AT_ONCE = 2**24  # numbers held by the fields of the unit errors that are pushed together


class GivenError(AbstractLoss):
    """l(f, u) = <f, u>: the error dl/df is the target u itself."""

    def value(self, outputs: Outputs, targets: Outputs) -> PerSample:
        return per_sample(outputs * targets)

    def error(self, outputs: Outputs, targets: Outputs) -> Outputs:
        return targets

    def check(self, targets: np.ndarray) -> None:
        return None


def with_error(data: Data, error: Outputs) -> Data:
    """The same inputs under a loss whose dLoss/df is `error`, whatever the outputs."""
    one = jnp.ones_like(data.weight)
    return dataclasses.replace(
        data, targets=error, loss=GivenError(), weight=one, identity=False, sample_weights=None
    )


def error_response(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    state: State | None = None,
) -> Callable[[Outputs], Outputs]:
    """u -> K u: minus the change of the outputs along the field that an error u (samples, outputs)
    drives, at these weights.

    The part of the field that is linear in the error (its derivative at u = 0): what moves the
    weights without an error, a decay say, is no part of K. `state`: as in `weight_velocity`, by
    default the one that stands for these weights and feedback. K means something for rules that
    hear the data's targets through the error alone.
    """
    state = rule.init(weights, feedback, data) if state is None else state

    def field(error: Outputs) -> AbstractNetwork:
        return weight_velocity(rule, weights, feedback, with_error(data, error), state)[0]

    def respond(error: Outputs) -> Outputs:
        _, push = jax.jvp(field, (jnp.zeros_like(error),), (error,))
        return -jax.jvp(lambda net: data.outputs(net), (weights,), (push,))[1]

    return respond


def effective_kernel(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    data: Data,
    state: State | None = None,
) -> Kernel:
    """K[mu, i, nu, j] = -d(df_i(mu)/dt) / d e_j(nu) of `error_response`, in units of 1 / time.

    `Gradient` has J J^T, J the Jacobian of the outputs. samples * outputs fields are pushed, in
    chunks that bound the memory.
    """
    respond = error_response(rule, weights, feedback, data, state)
    shape = data.targets.shape
    count = data.targets.size
    basis = jnp.eye(count, dtype=data.targets.dtype).reshape(count, *shape)
    size = sum(leaf.size for leaf in jax.tree.leaves(weights))
    columns = jax.lax.map(respond, basis, batch_size=min(count, max(1, AT_ONCE // size)))
    return jnp.moveaxis(columns, 0, -1).reshape(*shape, *shape)


def as_matrix(kernel: Kernel) -> Matrix:
    """K as (samples * outputs, samples * outputs), outputs running fastest."""
    count = math.isqrt(kernel.size)
    return kernel.reshape(count, count)


def backprop_for(rule: AbstractLearningRule) -> AbstractLearningRule:
    """The gradient under the rule's modifiers."""
    if isinstance(rule, AbstractModifiedRule):
        return eqx.tree_at(lambda r: r.rule, rule, backprop_for(rule.rule))
    return Gradient()


class TangentKernel(AbstractObservable):
    """Numbers of the rule's kernel K at the present weights, and of its way since `first` = K(0).

    `trace` tr K; `smallest` and `largest`: extreme real parts of its spectrum (e' = -K e is stable
    if the smallest is positive; once the residual has died out that is its exponent, if e enters
    every direction); `asymmetry` ||K - K^T|| / ||K||; `change` ||K - K(0)|| / ||K(0)||. Against
    backprop's kernel K_b at the same weights, under the same modifiers (learning rates): `cosine`
    <K, K_b> / ||K|| ||K_b||, and `share` <K, K_b> / ||K_b||^2, how much of K_b there is in K. All
    0 / 0 are 0.
    """

    rule: AbstractLearningRule
    first: Matrix
    label: ClassVar[str] = "effective tangent kernel"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(
        self, weights: AbstractNetwork, feedback: Feedback, data: Data
    ) -> dict[str, Array]:
        own = as_matrix(effective_kernel(self.rule, weights, feedback, data))
        backprop = as_matrix(effective_kernel(backprop_for(self.rule), weights, feedback, data))
        rates = jnp.real(jnp.linalg.eigvals(own))
        size, common = frobenius(own), jnp.sum(own * backprop)
        return {
            "trace": jnp.trace(own),
            "smallest": jnp.min(rates),
            "largest": jnp.max(rates),
            "asymmetry": _share(frobenius(own - own.T), size),
            "cosine": _share(common, size * frobenius(backprop)),
            "share": _share(common, jnp.sum(backprop**2)),
            "change": _share(frobenius(own - self.first), frobenius(self.first)),
        }


def _share(part: Scalar, whole: Scalar) -> Scalar:
    """part / whole; of nothing 0 if there is no part either, else no number."""
    without = jnp.where(part == 0, 0.0, jnp.nan)
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1.0), without)
