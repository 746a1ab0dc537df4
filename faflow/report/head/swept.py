"""The verdicts of a sweep: over its members, each counted once."""

from collections.abc import Iterator

import numpy as np

from ..._results import ORDERLY
from ...compare.subject import Subject
from ...measures.tables import number
from ...sweeps.distribution import Members
from ...sweeps.figures import PENDING
from ..content import BAD, GOOD, PLAIN
from .tile import Tile, bounds_tile


def swept_tiles(subject: Subject, members: Members) -> Iterator[Tile]:
    """As a run's: laws, exponent, alignment, limit, loss, members, bounds."""
    yield from laws_tile(members)
    yield from exponent_tile(members)
    certified = members.figure("alignment.certified")
    if certified is not None:
        count, of = int(np.sum(certified == 1)), int(np.sum(np.isfinite(certified)))
        mark = GOOD if count == of else PLAIN
        yield Tile("alignment", "Alignment", f"{count} of {of}", "members are certified", mark)
    distance = members.figure("minimum_norm.relative_distance")
    if distance is not None:
        yield _median("limit", "Limit", "minimum_norm.relative_distance", distance,
                      "from the minimum-norm map")  # fmt: skip
    loss = members.figure("loss.final")
    if loss is not None:
        yield _median("loss", "Final loss", "loss.final", loss, "")
    yield members_tile(subject)
    verdicts = subject.summary.get("expect")
    if verdicts:
        yield bounds_tile(verdicts, "of [expect], for all members")


def members_tile(subject: Subject) -> Tile:
    """How many members there are, and how they ended."""
    statuses = subject.summary["statuses"]
    count = int(subject.summary["members"])
    early = set(statuses) - ORDERLY - {PENDING}
    note = ", ".join(f"{many} {status}" for status, many in statuses.items())
    return Tile("members", "Members", str(count), note, BAD if early else PLAIN,
                {"members": count})  # fmt: skip


def laws_tile(members: Members) -> Iterator[Tile]:
    """The largest drift of all members that keep the law: of one that is broken though it is
    claimed, else of the one that drifts most. Laws that no member claims or keeps don't count."""
    told, seen = [], False
    for law in members.laws:
        kept, drift = members.figure(f"laws.{law}.kept"), members.drift(law)
        if kept is None or drift is None:
            continue
        seen, claimed = True, members.figure(f"laws.{law}.claimed")
        broken = 0 if claimed is None else int(np.sum((claimed == 1) & (kept == 0)))
        keeping = (kept == 1) & np.isfinite(drift)
        if not broken and not np.any(kept == 1):
            continue
        recorded = int(np.sum(np.isfinite(kept)))
        largest = float(np.max(drift[keeping])) if keeping.any() else np.nan
        told.append((broken, largest, law, int(np.sum(kept == 1)), recorded))
    if not told:
        if seen:
            yield Tile("laws", "Laws", "not kept", "none of them is claimed by a rule")
        return
    broken, largest, law, keeping, recorded = max(told, key=lambda each: (each[0], each[1]))
    value = f"kept to {largest:.2g}" if np.isfinite(largest) else "not kept"
    note = f"{law}: by {keeping} of {recorded} members"
    mark = GOOD if keeping == recorded else PLAIN
    if broken:
        note, mark = f"{note}; claimed, but broken by {broken}", BAD
    yield Tile("laws", "Laws", value, note, mark)


def exponent_tile(members: Members) -> Iterator[Tile]:
    """How far fitted exponents are from predicted ones; where few were fitted, how many first."""
    rates, statuses = members.figure("exponent.rate"), members.words("exponent.status")
    if statuses is None:
        return
    fitted = int(np.sum(statuses == "ok"))
    few, share = 2 * fitted < statuses.size, f"{fitted} of {statuses.size}"
    note = f"{share} members fitted"
    error = members.figure("exponent.relative_error")
    if rates is None or not fitted:
        yield Tile("exponent", "Exponent", "not fitted", note)
        return
    if error is None or not np.any(known := np.isfinite(error) & (statuses == "ok")):
        low, high = (float(edge(rates[statuses == "ok"])) for edge in (np.min, np.max))
        rates = f"{number(low)} to {number(high)}"
        value, note = (f"{share} fitted", rates) if few else (rates, note)
        yield Tile("exponent", "Exponent", value, note)
        return
    median, largest = float(np.median(error[known])), float(np.max(error[known]))
    off, most = (
        f"{100 * median:.2g} % off",
        f"apart from predicted by {100 * largest:.2g} % at most",
    )
    value, note = (f"{share} fitted", f"{off}; {most}") if few else (off, f"{note}; {most}")
    yield Tile("exponent", "Exponent", value, note, PLAIN,
               {"exponent.relative_error": median})  # fmt: skip


def _median(key: str, label: str, path: str, values: np.ndarray, words: str) -> Tile:
    known = values[np.isfinite(values)]
    median, low, high = (float(edge(known)) for edge in (np.median, np.min, np.max))
    note = f"in the median; {number(low)} to {number(high)} over {known.size} members"
    note = f"{words}, {note}" if words else note
    return Tile(key, label, number(median), note, PLAIN, {path: median})
