"""Alignment certificates: what Theorem 1 guarantees about <W, F> before a flow is run."""

from typing import NamedTuple

import equinox as eqx
import numpy as np

from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw, Balance, FeedbackPotential
from ..rules import AbstractLearningRule
from ..tasks import Data

SLACK = 1e-6  # relative to the scale of <W, F>: a floor may be touched to the solver's accuracy


class AlignmentCertificate(NamedTuple):
    """Per feedback matrix: <W_{l+1}(t), F_{l+1}> >= floor_l = -Q_l(0) / k for all t.

    From the layer balance k <W, F> = 1/2 ||W_l||^2 + 1/2 ||beta_l||^2 - Q_l(0) and squares >= 0
    (Robertson & Koyejo 2023, corollary of Theorem 1); under learning rates eta_l, times eta_{l+1};
    nan where no floor is known. `certified`:
    every floor is known and positive, so every layer is aligned at all times. `inner_minimum`:
    smallest inner product recorded; `held`: none fell below its floor. It bounds the inner product,
    not the cosine.
    """

    floor: np.ndarray
    inner_minimum: np.ndarray
    certified: bool
    held: bool


def alignment_certificate(
    rule: AbstractLearningRule,
    weights0: AbstractNetwork,
    feedback0: Feedback,
    inner_over_time,
    reached,
    data: Data,
) -> AlignmentCertificate | None:
    """The certificate from t = 0 and whether the record kept to it; None without such a law.

    `inner_over_time` (saves, feedback matrices): <W, F> as the alignment observable records it.
    Direct feedback: a floor for the last hidden layer only, where D_{L-1} stands for F_L.
    """
    law = certificate_law(rule, weights0)
    if law is None:
        return None
    inner = np.asarray(inner_over_time)[np.asarray(reached, bool)]
    balance = np.asarray(_values(law, weights0, feedback0, data))
    floor = np.full(inner.shape[1], np.nan)
    # Direct feedback D_l stands for F_{l+1} itself in the last hidden layer only.
    known = law.layers[-1:] if feedback0.form == "direct" else law.layers
    for layer, value in zip(law.layers, balance, strict=True):
        if layer in known:
            share = 1.0 if law.rates is None else float(law.rates[layer])
            floor[layer - 1] = -value * share / law.degree
    slack = SLACK * np.max(np.abs(inner), axis=0)
    below = inner < (floor - slack)[None, :]  # never where no floor is known (nan)
    return AlignmentCertificate(
        floor, inner.min(axis=0), bool(np.all(floor > 0)), not bool(np.any(below))
    )


@eqx.filter_jit
def _values(law: AbstractConservationLaw, weights: AbstractNetwork, feedback: Feedback, data: Data):
    return law(weights, feedback, data)


def certificate_law(rule: AbstractLearningRule, weights: AbstractNetwork) -> Balance | None:
    """The layer balance with psi = <W, F>, if the rule keeps it for this network."""
    law: AbstractConservationLaw | None = rule.laws(weights).get("layer-balance")
    if isinstance(law, Balance) and isinstance(law.potential, FeedbackPotential):
        return None if np.any(np.asarray(law.decay) != 0) else law
    return None
