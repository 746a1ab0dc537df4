"""Tangent kernels in the lazy limit: infinite width, weights as drawn (Bordelon & Pehlevan 2022).

Normalisation, with hidden layers 1..L of width N, D inputs and every W entry N(0, 1):
h^1 = W^0 x / sqrt D, h^{l+1} = W^l phi(h^l) / sqrt N, f = w . phi(h^L) / (gamma_0 N), and learning
rates gamma_0^2 N, so that df/dt = -K e with K of order 1. faflow's network with the init
`mean-field` and the rates `mean_field_rates` is this one (its layers W_1..W_{L+1} are W^0..W^L).

    Phi^0 = x . x / D,    Phi^l = <phi(h^l) phi(h^l)>,  h^l ~ N(0, Phi^{l-1})
    G^{L+1} = 1,          G^l = G^{l+1} <phi'(h^l) phi'(h^l)>
"""

from itertools import accumulate
from typing import NamedTuple

import jax.numpy as jnp

from .._compiling import ONCE, compiled
from .._types import Inputs, Matrix
from ..networks import AbstractActivation
from .duals import dual

RULES = (
    "gradient",
    "feedback-alignment",
    "direct-feedback-alignment",
    "hebbian",
    "last-layer-only",
    "gated",
)


class LazyKernels(NamedTuple):
    """`features` (Phi^0, ..., Phi^L) and `gradients` (G^1, ..., G^{L+1}), each (samples, samples):
    layer l of K adds gradients[l] * features[l]."""

    features: tuple[Matrix, ...]
    gradients: tuple[Matrix, ...]


@compiled(ONCE)
def lazy_kernels(activation: AbstractActivation, inputs: Inputs, hidden: int) -> LazyKernels:
    """The recursions of the module docstring for `hidden` = L >= 0 hidden layers.

    ValueError for an activation without a dual (`duals.dual`) or a negative number of layers.
    """
    _check_depth(hidden)
    features, slopes = [inputs @ inputs.T / inputs.shape[1]], []
    for _ in range(hidden):
        values, slope = dual(activation, features[-1])
        features.append(values)
        slopes.append(slope)
    gradients = accumulate(
        slopes[::-1], lambda above, slope: above * slope, initial=jnp.ones_like(features[0])
    )
    return LazyKernels(tuple(features), tuple(gradients)[::-1])


def lazy_kernel(
    rule: str,
    activation: AbstractActivation,
    inputs: Inputs,
    hidden: int,
    rho: float = 0.0,
) -> Matrix:
    """K (samples, samples) of one output, at infinite width and t = 0.

    gradient: sum_{l=0}^L G^{l+1} Phi^l. feedback-alignment with F = rho W(0) + sqrt(1 - rho^2) V:
    sum_l rho^{L-l} G^{l+1} Phi^l. direct-feedback-alignment (independent D), last-layer-only and
    hebbian (the paper's, with gt = Delta phi(h): deltas 1 / (gamma_0 N) times faflow's rule):
    Phi^L, since what the hidden layers move does not show in f. gated
    (`GatedMLP`, gradient): (L + 1) <phi'(m) phi'(m)>^L Phi^0 with m ~ N(0, Phi^0); with ReLU gates
    (L + 1) [(1 - theta / pi) / 2]^L cos theta for inputs of norm sqrt D. ValueError for others.
    """
    if rule not in RULES:
        raise ValueError(f"Argument `rule` must be one of {', '.join(RULES)}, but is '{rule}'.")
    _check_depth(hidden)
    if rule == "gated":
        features = lazy_kernels(activation, inputs, 0).features[0]
        return (hidden + 1) * dual(activation, features).slopes ** hidden * features
    features, gradients = lazy_kernels(activation, inputs, hidden)
    if rule not in ("gradient", "feedback-alignment"):
        return features[-1]
    share = 1.0 if rule == "gradient" else rho
    return sum(
        (
            share ** (hidden - l) * g * phi
            for l, (g, phi) in enumerate(zip(gradients, features, strict=True))
        ),
        start=jnp.zeros_like(features[0]),
    )


def _check_depth(hidden: int) -> None:
    if hidden < 0:
        raise ValueError(f"Argument `hidden` must be >= 0, but is {hidden}.")
