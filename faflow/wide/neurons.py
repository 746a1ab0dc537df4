"""One hidden layer of infinite width, any phi: neurons drawn quasi-randomly.

With one hidden layer no neuron responds to another but through f, so the limit is one of
independent neurons, a McKean-Vlasov flow (Bordelon & Pehlevan 2022 at L = 1):

    h' = g0 sum_nu K^x_{mu nu} Delta_nu gt_nu,   z' = g0 sum_nu Delta_nu phi(h_nu)
    f = <z phi(h)> / g0
    h(0) ~ N(0, K^x),  z(0) = r ~ N(0, 1),  gt = phi'(h) zt,  zt = rho r + sqrt(1 - rho^2) zeta

(zt = z for the gradient, gt = Delta phi(h) for Hebb). The average over S neurons in place of all
is the mean-field network of width S itself, whose flow faflow integrates as any other: what makes
it the limit is how W(0) and the feedback are drawn. Here they are Sobol points, scrambled, the best
coordinates for z and zt, then for the principal directions of the inputs; and each comes with its
mirror image (W, -r, -zeta), whose law is the same, so that f(0) = 0 exactly. The error falls faster
than S^{-1/2}; independent scrambles tell it.
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Array, Inputs
from ..feedback import Feedback, Form
from ..networks import MLP, AbstractActivation, GatedMLP
from ..rules import (
    DirectFeedbackAlignment,
    FeedbackAlignment,
    Gradient,
    Hebbian,
    MeanFieldRates,
)
from .draws import normals
from .hebbian import MeanFieldHebbian

RULES: dict[str, Any] = {
    "gradient": Gradient,
    "feedback-alignment": FeedbackAlignment,
    "direct-feedback-alignment": DirectFeedbackAlignment,
    "hebbian": Hebbian,
}

MeanFieldRule = MeanFieldRates | MeanFieldHebbian

SMOOTH = {"rtol": 1e-6, "atol": 1e-9}
KINKED = {"rtol": 1e-4, "atol": 1e-6}


class Neurons(NamedTuple):
    """What a flow of the limit starts from; `FlowProblem(rule, network, feedback, data)`.

    `tolerances`: of steps that are as good as the draws, `Numerics(**tolerances)`. At kinks, where
    some neurons slide, steps shrink as the tolerance does, and one neuron is 1 / S of f.
    """

    rule: MeanFieldRule
    network: MLP | GatedMLP
    feedback: Feedback
    tolerances: dict[str, float] = SMOOTH


def neurons(
    rule: str,
    activation: AbstractActivation,
    inputs: Inputs,
    count: int,
    *,
    rho: float = 0.0,
    richness: float = 1.0,
    seed: int = 0,
    gated: bool = False,
    draw: Literal["sobol", "random"] = "sobol",
) -> Neurons:
    """S = `count` neurons, an even power of 2, for inputs (P, D); another `seed`, another batch.

    `rho`: alignment of the feedback with z(0); direct feedback is the same at one layer. `gated`:
    phi' of frozen gaussian fields in place of phi'(h), drawn at random, with an error of S^{-1/2}.
    `draw`: "random" for a plain sample, whose error also is. ValueError for another rule, a count
    that is no power of 2 above 1, or numbers out of range.
    """
    _check(rule, count, rho, richness)
    features = inputs.shape[1]
    drawn = normals(count // 2, features + 2, seed, draw)
    # Principal directions of the inputs first: all that matters for f at the samples.
    axes = np.linalg.svd(np.asarray(inputs), full_matrices=True)[2]
    hidden = np.tile(drawn[:, 2:] @ axes, (2, 1)) / features**0.5
    readout, fresh = (np.concatenate([side, -side]) for side in (drawn[:, 0], drawn[:, 1]))
    scale = 1 / (richness * count)
    weights = _array(hidden), _array(scale * readout[None])
    back = _array(scale * (rho * readout + (1 - rho**2) ** 0.5 * fresh)[None])
    network = (
        GatedMLP(weights, gate=activation, seed=seed)
        if gated
        else MLP(weights, activation=activation)
    )
    form: Form = RULES[rule].form
    matrices = () if form == "none" else (back,)
    tolerances = KINKED if activation.kinked and not gated else SMOOTH
    moved = mean_field(rule, richness)
    return Neurons(moved, network, Feedback(matrices, form), dict(tolerances))


def mean_field(rule: str, richness: float) -> MeanFieldRule:
    """The rule at the rates of the mean-field scaling."""
    number = jnp.asarray(richness, float)
    if rule == "hebbian":
        return MeanFieldHebbian(number)
    return MeanFieldRates(rule=RULES[rule](), richness=number)


def _array(values: np.ndarray) -> Array:
    return jnp.asarray(values, float)


def _check(rule: str, count: int, rho: float, richness: float) -> None:
    if rule not in RULES:
        raise ValueError(f"Argument `rule` must be one of {', '.join(RULES)}, but is '{rule}'.")
    if count < 2 or count & (count - 1):
        raise ValueError(
            f"Argument `count` must be a power of 2 above 1, but is {count}; take "
            f"{2 ** max(1, count.bit_length())}."
        )
    if not -1 <= rho <= 1:
        raise ValueError(f"Argument `rho` must lie in [-1, 1], but is {rho}.")
    if not richness > 0:
        raise ValueError(f"Argument `richness` must be > 0, but is {richness}.")
