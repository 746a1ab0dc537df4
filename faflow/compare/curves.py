"""What goes over time: panels of curves, each with the case, layer, law and seed it belongs to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..measures.tables import in_short
from ..plots.drift import law_drifts
from ..plots.sweep.series import layer_drifts, on_all_times
from ..store.result import Result
from ..sweeps.distribution import Combination, Members, spread_of
from .subject import Subject

WORK = ("steps", "rejected", "field_evaluations")
LAYERED = ("layer", "hidden_layer", "feedback", "signal_layer")
WIDEST = 12  # columns of a record that are drawn; of more layers the ENDS
ENDS = ("smallest", "median", "largest")
CASES = 24  # combinations of a sweep that are drawn over time
SEED_NUMBERS = 120_000  # of single seeds' curves, over all panels; about 1.5 MB
MEDIAN = "median"
# By the end of a record's name what it measures, where records of one name are told apart by it.
PARTS = {"degrees": "angle in degrees", "cosine": "cosine", "inner": "inner product"}
DRIFT = "drift"

What = tuple[str, str, str]  # layer, entry, law
Row = tuple[str, str, str, np.ndarray]  # the same, and the values of all members
Places = list[tuple[str, Combination]]


@dataclass(frozen=True)
class PageCurve:
    """`values` over `times`; `seed`: "" of a run, MEDIAN, or a seed of a sweep; `low`, `high`: the
    band about a median."""

    case: str
    layer: str
    law: str
    seed: str
    times: np.ndarray
    values: np.ndarray
    entry: str = ""
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass
class PagePanel:
    """Curves with one vertical axis. `key`: the record's name, or "drift"."""

    key: str
    title: str
    ylabel: str
    curves: list[PageCurve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def panels_of(subjects: list[Subject]) -> list[PagePanel]:
    """Drift first, then every record over time that has at most WIDEST columns, then the work."""
    found: dict[str, PagePanel] = {}
    room = SEED_NUMBERS
    for subject in subjects:
        if subject.members is None:
            for panel in _of_run(subject.cases[0], subject.result):
                _join(found, panel)
        else:
            panels, used = _of_sweep(subject.cases, subject.members, room)
            room -= used
            for panel in panels:
                _join(found, panel)
    first = [key for key in (DRIFT, "loss", "residual") if key in found]
    last = [key for key in WORK if key in found]
    middle = [key for key in found if key not in (*first, *last)]
    return [found[key] for key in (*first, *middle, *last)]


def _join(found: dict[str, PagePanel], panel: PagePanel) -> None:
    if panel.key not in found:
        found[panel.key] = panel
        return
    found[panel.key].curves += panel.curves
    found[panel.key].notes += panel.notes


def _drift_panel(curves: list[PageCurve]) -> PagePanel:
    return PagePanel(DRIFT, "Drift of the laws", "|Q(t) − Q(0)| / scale", curves)


def _of_run(case: str, result: Result) -> Iterator[PagePanel]:
    laws, times = result.section("laws"), result.times[1:]
    drifts = [
        PageCurve(case, in_short(drift.layer or ""), drift.law, "", times, drift.values[1:])
        for law, told in laws.items() if not told.get("projected")
        for drift in law_drifts(result, law)
    ]  # fmt: skip
    if drifts:
        yield _drift_panel(drifts)
    for name, record in result.series.data_vars.items():
        name = str(name)
        values = result.values(name)
        if values is None or _belongs_to_law(name, laws) or values.ndim > 2:
            continue
        axis, labels = "", ("",)
        if values.ndim == 2:
            axis, labels = str(record.dims[1]), tuple(result.entries(name))
        panel = _record_panel(name, str(record.attrs.get("long_name", name)))
        table, columns = values.reshape(len(values), -1), _columns(axis, labels)
        if len(labels) > WIDEST:
            if not columns[0][0]:
                continue  # entries of no layers
            table, columns = _ends(table), [("", f"{end} of {len(labels)}") for end in ENDS]
        for column, (layer, entry) in zip(table.T, columns, strict=True):
            panel.curves.append(PageCurve(case, layer, "", "", result.times, column, entry))
        yield panel


def _ends(table: np.ndarray) -> np.ndarray:
    """(saves, 3): what the columns lie between, and the one in the middle."""
    over = spread_of(table, 1)
    return np.stack([over.least, over.median, over.largest], axis=1)


def _record_panel(name: str, ylabel: str) -> PagePanel:
    words, part = name.replace("_", " "), PARTS.get(name.rpartition("_")[2])
    ylabel = ylabel if part is None else f"{ylabel}: {part}"
    return PagePanel(name, f"{words[:1].upper()}{words[1:]}", ylabel)


def _belongs_to_law(name: str, laws: Iterable[str]) -> bool:
    """Whether a record is a law, its scale or its forecast: those are in the panel of drifts."""
    return any(name == law or name.startswith((f"{law}_", f"{law}-forecast")) for law in laws)


def _columns(axis: str, labels: tuple[str, ...]) -> list[tuple[str, str]]:
    """(layer, entry) of every column: a layer's number where the axis counts layers."""
    if axis in LAYERED or axis.startswith("hidden_layer"):
        return [(label, "") for label in labels]
    return [("", f"{axis} {label}".strip()) for label in labels]


def _of_sweep(cases: tuple[str, ...], members: Members, room: int) -> tuple[list[PagePanel], int]:
    """The panels, and how many numbers single seeds' curves took."""
    found = []
    for law in members.laws:
        layers = layer_drifts(members, law)
        if layers:
            found.append((_drift_panel([]), [(name, "", law, v) for name, v in layers]))
    for name in members.record_names():
        values = members.record(name)
        if name == "times" or values is None or _belongs_to_law(name, members.laws):
            continue
        axes = members.columns(name)
        if len(axes) > 1 or (axes and values.shape[-1] > WIDEST):
            continue
        columns = _columns(axes[0], members.entries(name)) if axes else [("", "")]
        table = values if axes else values[..., None]
        rows = [(layer, entry, "", table[..., i]) for i, (layer, entry) in enumerate(columns)]
        found.append((_record_panel(name, name.replace("_", " ")), rows))
    return _with_seeds(found, cases, members, room)


def _with_seeds(
    found: list[tuple[PagePanel, list[Row]]], cases: tuple[str, ...], members: Members, room: int
) -> tuple[list[PagePanel], int]:
    places = list(zip(cases, members.combinations(), strict=True))[:CASES]
    total = sum(values[at].size for _, rows in found for *_, values in rows for _, at in places)
    seeds = len(members.seed_labels)
    shown = seeds if total <= room else seeds * room // max(total, 1)
    note = ""
    if shown < seeds:
        note = f"single curves of the first {shown} of {seeds} seeds; all are in the bands"
    panels: dict[str, PagePanel] = {}
    for panel, rows in found:
        panel.notes += [note] if note else []
        lasting: list[tuple[int, int]] = []
        for layer, entry, law, values in rows:
            what = (layer, entry, law)
            panel.curves += _medians(lasting, members, places, what, values)
            panel.curves += _singles(members, places, what, values, shown)
        panel.notes += _lasting(lasting)
        _join(panels, panel)
    return list(panels.values()), total * shown // max(seeds, 1)


def _lasting(counts: list[tuple[int, int]]) -> Iterator[str]:
    """Of how many members medians are at the end, of how many at the start."""
    if counts:
        (low, *_, high), of = sorted([min(counts)[0], max(counts)[0]]), max(of for _, of in counts)
        left = f"{low}" if low == high else f"{low} to {high}"
        yield f"medians are of the members that last: {left} of {of} at the end"


def _medians(
    lasting: list[tuple[int, int]], members: Members, places: Places, what: What, values: np.ndarray
) -> Iterator[PageCurve]:
    """A median with its band per case, at every time over the members that have not ended."""
    common = on_all_times(members, values) if members.seeded else None
    if common is None:
        return
    layer, entry, law = what
    since = slice(1 if law else 0, None)  # Q(0) - Q(0) says nothing
    for case, at in places:
        over, times = spread_of(common.values[at][:, since], 0), common.times[since]
        there = over.known > 0
        if not np.any(there):
            continue
        first, last = over.known[there][[0, -1]]
        if last < first:
            lasting.append((int(last), int(first)))
        parts = (part[there] for part in (times, over.median, over.lower, over.upper))
        times, median, *band = parts
        yield PageCurve(case, layer, law, MEDIAN, times, median, entry, *band)


def _singles(
    members: Members, places: Places, what: What, values: np.ndarray, shown: int
) -> Iterator[PageCurve]:
    """The members themselves."""
    own = members.times
    if own is None:
        return
    layer, entry, law = what
    since = slice(1 if law else 0, None)
    for case, at in places:
        for i, seed in enumerate(members.seed_labels[:shown]):
            times, mine = own[at][i][since], values[at][i][since]
            known = np.isfinite(times) & np.isfinite(mine)
            if np.any(known):
                name = seed if members.seeded else ""
                yield PageCurve(case, layer, law, name, times[known], mine[known], entry)
