"""A figure per measure: a colour per result, a dash per layer or entry."""

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from ..plots.drift import FLOOR
from ..plots.frame import Frame
from ..plots.panel import Band, Guide, Listing, Panel
from ..plots.render import WIDE
from ..plots.style import BLACK, FEW, LAYERS, SOLID, STYLES, plain_text
from .curves import DRIFT, MEDIAN, PageCurve, PagePanel, panels_of
from .subject import Subject

NAME = 40  # letters of a result in a legend


def comparison_figures(subjects: Sequence[Subject]) -> Iterator[tuple[str, Panel, Frame]]:
    """(measure, panel, frame) of everything that goes over time in at least one of the results."""
    cases = [case for subject in subjects for case in subject.cases]
    shown = _evenly(cases)
    colours: dict[str, str] = dict(zip(shown, LAYERS, strict=False))
    name = f"{len(subjects)} results side by side"  # the legend names them
    for page in panels_of(list(subjects)):
        curves = _worth_drawing(page, colours)
        if not curves:
            continue
        times = np.unique(np.concatenate([curve.times for curve in curves]))
        left = len(shown) < len(cases)
        notes = [f"{len(shown)} of {len(cases)} results are drawn"] if left else []
        if page.key == DRIFT:
            laws = list(dict.fromkeys(curve.law for curve in curves))
            said = laws[0] if len(laws) == 1 else "of each law"
            notes = [f"{said}, the largest over its layers", *notes]
        yield page.key, _panel(page, curves, times, colours, notes), Frame(name, times)


def _evenly(cases: Sequence[str]) -> list[str]:
    """As many as can be told apart, the first and the last among them."""
    places = np.linspace(0, len(cases) - 1, min(len(cases), FEW))
    return [cases[int(i)] for i in np.unique(np.round(places).astype(int))]


def _worth_drawing(page: PagePanel, colours: dict[str, str]) -> list[PageCurve]:
    """Runs, and medians of sweeps; of a sweep without seeds the members; of drifts the largest."""
    medians = {curve.case for curve in page.curves if curve.seed == MEDIAN}
    curves = [
        curve for curve in page.curves
        if curve.case in colours and curve.times.size and np.any(np.isfinite(curve.values))
        and (curve.seed == MEDIAN or curve.case not in medians)
    ]  # fmt: skip
    return list(_largest(curves)) if page.key == DRIFT else curves


def _largest(curves: list[PageCurve]) -> Iterator[PageCurve]:
    """One curve per result and law: the largest over its layers."""
    groups: dict[tuple[str, str], list[PageCurve]] = {}
    for curve in curves:
        groups.setdefault((curve.case, curve.law), []).append(curve)
    for (case, law), some in groups.items():
        if all(np.array_equal(one.times, some[0].times) for one in some):
            values = np.fmax.reduce([one.values for one in some])
            yield PageCurve(case, "", law, some[0].seed, some[0].times, values)
        else:
            yield from some


def _panel(
    page: PagePanel,
    curves: list[PageCurve],
    times: np.ndarray,
    colours: dict[str, str],
    notes: list[str],
) -> Panel:
    kinds = list(dict.fromkeys(_kind(curve) for curve in curves))
    styles = {kind: STYLES[i % len(STYLES)] for i, kind in enumerate(kinds)}
    floor = FLOOR if page.key == DRIFT else None
    values = [_floored(curve.values, floor) for curve in curves]
    log = page.key == DRIFT or _wide(np.concatenate(values))
    guides = [
        Guide(curve.times, np.where(found > 0, found, np.nan) if log else found, "",
              colours[curve.case], styles[_kind(curve)])
        for curve, found in zip(curves, values, strict=True)
    ]  # fmt: skip
    bands = [
        Band("", "", *_over(times, curve), None, colours[curve.case], 0.15)
        for curve in curves if curve.low is not None and len(kinds) == 1
    ]  # fmt: skip
    nothing = np.zeros(0)
    there = {curve.case for curve in curves}
    key = [Guide(nothing, nothing, plain_text(case, NAME), colour, SOLID)
           for case, colour in colours.items() if case in there]  # fmt: skip
    if len(kinds) > 1:
        key += [Guide(nothing, nothing, kind, BLACK, styles[kind]) for kind in kinds[:FEW]]
    title = [page.title, *notes, *dict.fromkeys(page.notes)]
    ylabel = "\n".join(textwrap.wrap(plain_text(page.ylabel), 30))
    scale = "log" if log else "linear"
    return Panel(title, ylabel, [], scale, bands, [*guides, *key], listing=_listing(curves))


def _over(times: np.ndarray, curve: PageCurve) -> Iterator[np.ndarray]:
    """The band of a median at all times."""
    for edge in (curve.low, curve.high):
        assert edge is not None
        yield np.interp(times, curve.times, edge, left=np.nan, right=np.nan)


def _kind(curve: PageCurve) -> str:
    layer = f"layer {curve.layer}" if curve.layer.isdigit() else curve.layer
    return ", ".join(part for part in (curve.law, layer, curve.entry) if part) or "all"


def _floored(values: np.ndarray, floor: float | None) -> np.ndarray:
    return (
        values if floor is None else np.where(np.isnan(values), np.nan, np.maximum(values, floor))
    )


def _wide(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > WIDE * finite.min())


def _listing(curves: list[PageCurve]) -> Listing:
    """One row per result, curve and save."""
    counts = [curve.times.size for curve in curves]

    def words(of: Sequence[str]) -> np.ndarray:
        return np.repeat(np.asarray(of, dtype=str), counts)

    return Listing({
        "result": ("result", words([curve.case for curve in curves])),
        "curve": ("law, layer, entry", words([_kind(curve) for curve in curves])),
        "time": ("time of the save", np.concatenate([curve.times for curve in curves])),
        "value": ("value", np.concatenate([curve.values for curve in curves])),
    })  # fmt: skip
