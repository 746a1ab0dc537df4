"""How a sweep's members are distributed: one figure per quantity, one box with points per case."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..compare.subject import Subject
from ..plots.sweep.quantities import quantities
from .figures import PALETTE, WIDE, Choices, PageFigure, base_layout, literal, numbers


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
