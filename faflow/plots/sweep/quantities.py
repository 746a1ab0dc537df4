"""Numbers of every member that are drawn against the parameters."""

import re
from typing import NamedTuple

import numpy as np

from ...sweeps.distribution import Combination, Members
from ..panel import brief
from .split import kept_verdict


class Quantity(NamedTuple):
    """`values` (parameters..., seeds) under `name`; `law`: whose drift it is; `predicted`: what
    theory says of the same members."""

    name: str
    ylabel: str
    values: np.ndarray
    scale: str
    law: str | None = None
    predicted: np.ndarray | None = None

    def verdict(self, members: Members, places: list[Combination]) -> str:
        """A line about the members at these places."""
        if self.law is not None:
            return f"{self.law}: {kept_verdict(members, self.law, places)}"
        values = np.concatenate([self.values[place] for place in places])
        known = values[np.isfinite(values)]
        if not known.size:
            return f"{self.name}: known of none of {values.size} flows"
        low, high = brief(float(known.min())), brief(float(known.max()))
        return f"{self.name}: {low} to {high} ({known.size} of {values.size} flows)"


def quantities(members: Members) -> list[Quantity]:
    """Those that a sweep has."""
    found = [*_exponents(members)]
    loss = members.figure("loss.final")
    if loss is not None:
        found.append(Quantity("final loss", "final loss", loss, "log"))
    for law in members.laws:
        drift = members.drift(law)
        if drift is not None:
            label = "largest relative drift"
            found.append(Quantity(f"drift of {law}", label, drift, "log", law))
    angles = members.figure("alignment.degrees")
    if angles is not None:
        name = "last layer's angle at the end"
        found.append(Quantity(name, "angle (degrees)", _last(members, angles), "linear"))
    return found + _ends(members)


def own_records(members: Members) -> list[str]:
    """The user's own records that are one number."""
    matches = (re.fullmatch(r"observed\.(.+)\.final", name) for name in members.figure_names())
    return [match[1] for match in matches if match]


def _ends(members: Members) -> list[Quantity]:
    """What there is at the end: accuracies, the user's own numbers; of infinite width, alignment
    with the targets and the smallest rate."""
    about = {
        "test.loss.final": ("final loss, held out", "loss, held out", "log"),
        "accuracy.final": ("labels right at the end", "labels right", "linear"),
        "test.accuracy.final": ("labels right at the end, held out", "labels right", "linear"),
        **{
            f"observed.{name}.final": (f"{name} at the end", name, "auto")
            for name in own_records(members)
        },
        "wide.target_alignment.final": ("alignment of K with the targets", "A(K, yyᵀ)", "linear"),
        "wide.rates.smallest": ("smallest rate at the end", "rate (1 / time)", "auto"),
    }
    found = ((words, members.figure(name)) for name, words in about.items())
    return [Quantity(*words[:2], values, words[2]) for words, values in found if values is not None]


def _exponents(members: Members) -> list[Quantity]:
    """Rates of accepted fits only, and the predictions for the same members."""
    rates, statuses = members.figure("exponent.rate"), members.words("exponent.status")
    if rates is None:
        return []
    if statuses is not None:
        rates = np.where(statuses == "ok", rates, np.nan)
    predicted = members.figure("exponent.predicted")
    if predicted is not None:
        predicted = np.where(np.isfinite(rates), predicted, np.nan)
    return [Quantity("fitted rate", "rate (1 / time)", rates, "auto", None, predicted)]


def _last(members: Members, angles: np.ndarray) -> np.ndarray:
    """The last layer that each member has (depths differ)."""
    if angles.ndim == members.statuses.ndim:
        return angles
    known = np.isfinite(angles)
    place = angles.shape[-1] - 1 - np.argmax(known[..., ::-1], axis=-1)
    return np.take_along_axis(angles, place[..., None], axis=-1)[..., 0]
