"""The rule's tangent kernel on its way: movement, likeness to backprop's, spectrum."""

from ..store.result import Result
from .panel import Curve, Level, Panel, brief, last
from .style import BLUE, DASHED, DOTTED, GREEN, GREY, SOLID, VERMILION, Dashes

_RECORD = "kernel"


def kernel_panels(result: Result) -> list[Panel]:
    """How far K has moved from K(0); below, its cosine with backprop's and its asymmetry, and the
    ends of its spectrum."""
    change = _curve(result, "change", "‖K − K(0)‖ / ‖K(0)‖", None, BLUE, SOLID)
    return [] if change is None else [_movement(change), _likeness(result), _spectrum(result)]


def _curve(
    result: Result, part: str, meaning: str, label: str | None, colour: str, style: Dashes
) -> Curve | None:
    values = result.values(f"{_RECORD}_{part}")
    if values is None or values.ndim != 1:
        return None
    return Curve(f"{_RECORD} {part}", meaning, values, label, colour, style)


def _curves(result: Result, *lines: tuple[str, str, str, str, Dashes]) -> list[Curve]:
    found = (_curve(result, *line) for line in lines)
    return [curve for curve in found if curve is not None]


def _movement(change: Curve) -> Panel:
    title = f"the kernel ends {brief(last(change.values))} of its first norm away"
    return Panel([title], "‖K − K(0)‖ / ‖K(0)‖", [change], scale="linear")


def _likeness(result: Result) -> Panel:
    curves = _curves(
        result,
        ("cosine", "cosine of K with backprop's kernel", "cosine with backprop's", GREEN, SOLID),
        (
            "share",
            "<K, K_b> / ||K_b||^2, K_b backprop's kernel",
            "share of backprop's",
            BLUE,
            DOTTED,
        ),
        ("asymmetry", "‖K − Kᵀ‖ / ‖K‖", "asymmetry ‖K − Kᵀ‖ / ‖K‖", VERMILION, DASHED),
    )
    ends = " and ".join(
        f"{curve.column.split()[-1]} {brief(curve.values[0])} → {brief(last(curve.values))}"
        for curve in curves[:2]
    )
    title = f"against backprop's kernel: {ends}"
    return Panel([title], "cosine, share, asymmetry", curves, scale="linear", levels=[Level(1.0)])


def _spectrum(result: Result) -> Panel:
    curves = _curves(
        result,
        ("largest", "largest real part of the spectrum of K", "largest", BLUE, SOLID),
        ("smallest", "smallest real part of the spectrum of K", "smallest", VERMILION, DASHED),
    )
    smallest = brief(last(curves[-1].values)) if curves else "unknown"
    levels = [Level(0.0, None, GREY, DOTTED)]
    title = f"real parts of the spectrum of K: the smallest ends at {smallest}"
    return Panel([title], "rate (1 / time)", curves, levels=levels)
