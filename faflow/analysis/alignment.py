"""Alignment certificates: what Theorem 1 guarantees about <W, F> before a flow is run."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._compiling import ONCE, compiled
from .._numbers import Numbers
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork, Model
from ..observables import AbstractConservationLaw, Balance, FeedbackPotential, LeafBalance
from ..rules import AbstractLearningRule
from ..tasks import Data

SLACK = 1e-6  # relative to the scale of <W, F>: a floor may be touched to the solver's accuracy


class AlignmentCertificate(NamedTuple):
    """Per feedback matrix: <W_{l+1}(t), F_{l+1}> >= floor_l = -Q_l(0) / k for all t.

    From the layer balance k <W, F> = 1/2 ||W_l||^2 + 1/2 ||beta_l||^2 - Q_l(0) and squares >= 0
    (Robertson & Koyejo 2023, corollary of Theorem 1); under learning rates eta_l, times eta_{l+1};
    nan where no floor is known. `certified`:
    every floor is known and positive, so every layer is aligned at all times. `inner_minimum`:
    smallest inner product recorded; `held`: none fell below its floor, and all are numbers. It
    bounds the inner product, not the cosine.
    """

    floor: np.ndarray
    inner_minimum: np.ndarray
    certified: bool
    held: bool


def alignment_certificate(
    rule: AbstractLearningRule,
    weights0: AbstractNetwork,
    feedback0: Feedback,
    inner_over_time: Numbers,
    reached: Numbers,
    data: Data,
) -> AlignmentCertificate | None:
    """The certificate from t = 0 and whether the record kept to it; None without such a law
    (`certificate_law` says why). It takes the rule's word for the law: measure it (`law_rate`).

    `inner_over_time` (saves, feedback matrices): <W, F> as the alignment observable records it.
    """
    law, _ = certificate_law(rule, weights0, feedback0.form)
    if law is None:
        return None
    inner = np.asarray(inner_over_time)[np.asarray(reached, bool)]
    balance = np.asarray(_values(law, weights0, feedback0, data))
    floor = np.full(inner.shape[1], np.nan)
    for layer, value in zip(law.layers, balance, strict=True):
        share = 1.0 if law.rates is None else float(law.rates[layer])
        floor[layer - 1] = -value * share / law.degree
    slack, known = SLACK * np.max(np.abs(inner), axis=0), [layer - 1 for layer in law.layers]
    held = np.all(inner[:, known] >= (floor - slack)[known])  # an inner product of nan holds none
    return AlignmentCertificate(floor, inner.min(axis=0), bool(np.all(floor > 0)), bool(held))


def model_certificate(
    law: AbstractConservationLaw | None,
    weights0: Model,
    feedback0: Feedback,
    inner_over_time: Numbers,
    reached: Numbers,
    data: Data,
) -> tuple[AlignmentCertificate | None, str]:
    """The certificate of a model, place by place, or why there is none.

    From every balance of `law` (its layer balance) of squares with one <B, F> alone:
    c <B, F>(t) = sum 1/2 ||A||^2 - Q(0) >= -Q(0). Feedback that stands in no such balance has the
    floor nan; `certified`: all floors that there are are positive.
    """
    if not isinstance(law, LeafBalance) or type(law.potential) is not FeedbackPotential:
        return None, "no layer balance of <W, F> is followed"
    inner = np.asarray(inner_over_time)[np.asarray(reached, bool)]
    floor = np.full(inner.shape[1], np.nan)
    balances = np.asarray(_values(law, weights0, feedback0, data))
    for shares, value in zip(law.shares, balances, strict=True):
        above = [share for share in shares if share.factor < 0]
        if len(above) == 1 and above[0].feedback is not None:
            floor[above[0].feedback] = value / above[0].factor
    known = np.isfinite(floor)
    if not np.any(known):
        return None, "no balance has one <W, F> alone"
    slack = SLACK * np.max(np.abs(inner), axis=0)
    held = np.all(inner[:, known] >= (floor - slack)[known])
    certified = bool(np.all(floor[known] > 0))
    return AlignmentCertificate(floor, inner.min(axis=0), certified, bool(held)), ""


@compiled(ONCE)
def _values(law: AbstractConservationLaw, weights: AbstractNetwork, feedback: Feedback, data: Data):
    return law(weights, feedback, data)


def certificate_law(
    rule: AbstractLearningRule, weights: AbstractNetwork, form: Form
) -> tuple[Balance | None, str]:
    """The layer balance of the inner products that the alignment observable records, on the layers
    where it is theirs; or None, and why there is none.

    psi must be <W_{l+1}, F_{l+1}> itself. Direct feedback D_l is compared with W_L ... W_{l+1}, of
    which only the last, <W_L, D_{L-1}>, is a law's psi: below it linear nets keep the balance of
    <W_{l+1}, D_{l+1}^+ D_l>, another inner product.
    """
    law: AbstractConservationLaw | None = rule.laws(weights).get("layer-balance")
    # A class derived from the potential may be another psi.
    if not isinstance(law, Balance) or type(law.potential) is not FeedbackPotential:
        return None, "the rule names no layer balance of <W, F> for this network"
    if np.any(np.asarray(law.decay) != 0):
        return None, "the rule's layer balance decays"
    if not law.degree > 0:
        return None, f"phi is of degree {law.degree}, which is not above 0"
    last = len(weights.weights) - 1
    layers = tuple(l for l in law.layers if form == "layerwise" or l == last)
    if not layers:
        what = "<W_{l+1}, D_{l+1}^+ D_l>, not of <W_L ... W_{l+1}, D_l>"
        return None, f"the rule's layer balances are of {what}"
    return replace(law, layers=layers, decay=0.0), ""
