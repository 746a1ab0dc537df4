"""Members that lack what others have: how many, why, where in the grid, and what would help."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from .._results import Outcome
from ..analysis.exponent import REMEDIES
from .distribution import Members
from .figures import PENDING

REFUSED = "refused"  # the status of a member whose config turns out not to fit
LOST = "worker-lost"  # the status of a member whose worker died whenever it was tried
EARLY = {str(outcome) for outcome in Outcome if outcome.early} | {REFUSED, LOST}
FEW = 4  # values of a parameter, or messages, that are listed
UNRECORDED = "not recorded"
HELP = (
    REMEDIES
    | {
        PENDING: "the same command goes on",
        LOST: "the same command tries again",
        REFUSED: "see their messages",
    }
    | {str(outcome): outcome.message for outcome in Outcome if outcome.early}
)


class Refusal(NamedTuple):
    """What members were refused for: the message, how many, and where in the grid."""

    message: str
    members: int
    where: str


def refusals(members: Members) -> list[Refusal]:
    """Grouped by message, the most frequent first."""
    messages, refused = members.words("message"), members.statuses == REFUSED
    if messages is None:
        return []
    counts = Counter(messages[refused].tolist())
    return [
        Refusal(message, count, where(members, refused & (messages == message)))
        for message, count in counts.most_common()
    ]


def reasons(members: Members, statuses: np.ndarray | None = None) -> np.ndarray:
    """Why each member may lack a figure: that it has not run, else what `statuses` (of a fit, say)
    tell, else how its flow ended if that was early, else that it was not recorded."""
    found = np.where(members.orderly, UNRECORDED, members.statuses.astype(object))
    if statuses is None:
        return found
    return np.where((statuses == "") | np.isin(found, (PENDING, REFUSED, LOST)), found, statuses)


def the_others(members: Members, known: np.ndarray, why: np.ndarray) -> str:
    """What is to be said of members that are not `known`: `3 too-few-points at scale 0.5 (3 of 4):
    raise flow.saves`."""
    parts = []
    for reason, count in Counter(why[~known].tolist()).most_common():
        place = where(members, ~known & (why == reason))
        remedy = f": {HELP[reason]}" if reason in HELP else ""
        parts.append(f"{count} {reason}{' at ' if place else ''}{place}{remedy}")
    return "; ".join(parts)


def where(members: Members, chosen: np.ndarray) -> str:
    """By axis: the values at which members are `chosen`, for every parameter of which some value
    has none of them, or all; "" if there is none."""
    parts = []
    for i, parameter in enumerate(members.parameters):
        rows = np.moveaxis(chosen, i, 0).reshape(parameter.size, -1)
        counts, each = rows.sum(axis=1), rows.shape[1]
        if counts.all() and (np.all(counts == each) or not np.any(counts == each)):
            continue
        told = [
            f"{name} ({count} of {each})"
            for name, count in zip(parameter.labels, counts, strict=True)
            if count
        ]
        more = [f"{len(told) - FEW} more"] if len(told) > FEW else []
        parts.append(f"{parameter.short} {', '.join([*told[:FEW], *more])}")
    return "; ".join(parts)
