"""How a sweep's members are distributed: one figure per quantity, one box with points per case; and
their exponents beside the predicted ones."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...compare.subject import Subject
from ...plots.style import GREY
from ...plots.sweep.quantities import Quantity, quantities
from ...sweeps.distribution import Combination, Members
from ..figures import PALETTE, WIDE, Choices, PageFigure, base_layout, literal, numbers


def member_figures(subjects: Sequence[Subject], choices: Choices) -> Iterator[PageFigure]:
    """Drifts, exponents, losses and angles of every member of the sweeps, against the cases."""
    found: dict[str, tuple[str, str, list]] = {}
    for subject in subjects:
        if subject.members is None:
            continue
        for quantity in quantities(subject.members):
            label = (quantity.ylabel, quantity.law or "", [])
            *_, rows = found.setdefault(quantity.name, label)
            places = zip(subject.cases, subject.members.combinations(), strict=True)
            rows += [(c, quantity.values[at], subject.members.seed_labels) for c, at in places]
    for name, (ylabel, law, rows) in found.items():
        values = np.concatenate([values for _, values, _ in rows])
        known = values[np.isfinite(values)]
        if known.size:
            log = bool(known.min() > 0 and known.max() > WIDE * known.min())
            traces = [_box(law, row, choices) for row in rows]
            layout = {**base_layout(ylabel, log, ""), "showlegend": False, "hovermode": "closest"}
            layout["xaxis"] |= {"type": "category"}
            title = f"{name[0].upper()}{name[1:]}: all members"
            caption = f"{known.size} of {values.size} members; box: quartiles"
            yield PageFigure(f"members-{name}", title, caption, traces, layout, log, timed=False)


def rate_figures(subjects: Sequence[Subject]) -> Iterator[PageFigure]:
    """Every member's fitted exponent over its predicted one, beside the diagonal where they agree;
    a colour per value of the first parameter."""
    traces, count, total = [], 0, 0
    for subject in subjects:
        if subject.members is None:
            continue
        fitted = [q for q in quantities(subject.members) if q.predicted is not None]
        for quantity in fitted:
            lead = f"{subject.name}: " if len(subjects) > 1 else ""
            found = list(_clouds(subject.members, quantity, lead, len(traces)))
            traces += found
            count += sum(len(trace["x"]) for trace in found)
            total += quantity.values.size
    if not count:
        return
    known = np.array([value for trace in traces for value in (*trace["x"], *trace["y"])], float)
    low, high = float(known.min()), float(known.max())
    log = low > 0 and high > WIDE * low
    traces.append(_diagonal(low, high))
    layout = base_layout("fitted exponent (1 / time)", log, "predicted exponent (1 / time)")
    layout["xaxis"] |= {"type": "log" if log else "linear", "exponentformat": "power"}
    layout |= {"hovermode": "closest", "showlegend": True}
    caption = f"{count} of {total} members have both"
    title = "Fitted exponents beside predicted ones"
    yield PageFigure("rates", title, caption, traces, layout, log, timed=False)


def _clouds(
    members: Members, quantity: Quantity, lead: str, first: int
) -> Iterator[dict[str, Any]]:
    """The members by the first parameter's value, all others told of each."""
    predicted = quantity.predicted
    assert predicted is not None
    groups: dict[int, list] = {}
    for at in members.combinations():
        groups.setdefault(at[0] if at else 0, []).append(at)
    for place, some in groups.items():
        rows = [
            (predicted[at][i], quantity.values[at][i], f"{_where(members, at)}, seed {seed}")
            for at in some for i, seed in enumerate(members.seed_labels)
            if np.isfinite(predicted[at][i]) and np.isfinite(quantity.values[at][i])
        ]  # fmt: skip
        if not rows:
            continue
        parameter = members.parameters[0] if members.parameters else None
        name = f"{parameter.short} = {parameter.labels[place]}" if parameter else "members"
        x, y, text = zip(*rows, strict=True)
        look = {"color": PALETTE[(first + place) % len(PALETTE)], "size": 7, "opacity": 0.7}
        yield {
            "type": "scatter", "mode": "markers", "x": numbers(np.array(x), 7),
            "y": numbers(np.array(y), 7), "name": literal(lead + name), "marker": look,
            "text": [literal(words) for words in text],
            "hovertemplate": "%{text}: predicted %{x:.4~g}, fitted %{y:.4~g}<extra></extra>",
            "meta": {"case": "", "layer": "", "law": "", "seed": "", "label": lead + name},
        }  # fmt: skip


def _where(members: Members, at: Combination) -> str:
    told = zip(members.parameters, at, strict=True)
    return ", ".join(f"{parameter.short} = {parameter.labels[i]}" for parameter, i in told)


def _diagonal(low: float, high: float) -> dict[str, Any]:
    ends = numbers(np.array([low, high]))
    return {
        "type": "scatter", "mode": "lines", "x": ends, "y": ends, "name": "fitted = predicted",
        "line": {"color": GREY, "width": 1, "dash": "dash"}, "hoverinfo": "skip",
        "meta": {"case": "", "layer": "", "law": "", "seed": "", "label": "fitted = predicted"},
    }  # fmt: skip


def _box(law: str, row, choices: Choices) -> dict:
    case, values, seeds = row
    colour = PALETTE[choices.case.index(case) % len(PALETTE)]
    return {
        "type": "box",
        "x": [literal(case)] * len(values),
        "y": numbers(values),
        "name": literal(case),
        "boxpoints": "all",
        "jitter": 0.5,
        "pointpos": 0,
        "marker": {"color": colour, "size": 4, "opacity": 0.7},
        "line": {"width": 1},
        "text": [f"seed {seed}" for seed in seeds],
        "hovertemplate": "%{text}: %{y:.4~g}",
        "meta": {"case": case, "layer": "", "law": law, "seed": ""},
    }
