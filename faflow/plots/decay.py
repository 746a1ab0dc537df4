"""Loss, residual and instantaneous exponent, with the fitted and the predicted rate."""

import math
from typing import Any

import numpy as np

from ..store.result import Result
from .frame import log_spaced
from .learned import with_held_out
from .panel import Curve, Guide, Level, Panel, brief, last
from .style import BLUE, DASHED, DOTTED, GREEN, VERMILION, plain_text

OFFSET = 0.07  # of the axis' decades: how far fit and prediction are drawn from the data


def loss_panels(result: Result) -> list[Panel]:
    """The loss; with the fit if that was asked of the loss."""
    return with_held_out(result, _falling(result, "loss", "loss", "auto"))


def residual_panels(result: Result) -> list[Panel]:
    """The residual on a log axis, the fit window shaded, both slopes beside the data."""
    return _falling(result, "residual", "residual ‖e‖", "log")


def exponent_panels(result: Result) -> list[Panel]:
    """-d log ||e|| / dt at every save; late values are often rounding, so the axis may cut them."""
    values = result.values("exponent")
    if values is None or values.ndim != 1:
        return []
    about = result.section("exponent")
    rate, predicted = _finite(about.get("rate")), _finite(about.get("predicted"))
    known = [x for x in (rate, predicted) if x is not None]
    if known and max(known) > 0:
        # Where the rate is known it sets the axis: on the noise floor e' is large beside e.
        limits = (0.0, 4 * max(known))
        outside = int(np.sum((values < limits[0]) | (values > limits[1])))
    else:
        limits, outside = _robust_limits(values, known)
    note = [f"{outside} of {len(values)} values lie outside the axis"] if outside else []
    window = _window(about)
    levels = [] if predicted is None else [_level(predicted, "predicted", VERMILION)]
    if rate is not None and predicted is None:
        levels.append(_level(rate, "fitted", GREEN))
    return [
        Panel(
            title=(_fit_title(about) or [f"ends at {brief(last(values))}"]) + note,
            ylabel="exponent −d log‖e‖/dt",
            curves=[
                Curve("exponent", "instantaneous exponent", values, "instantaneous", BLUE),
            ],
            scale="linear",
            levels=levels,
            window=window,
            limits=limits,
        )
    ]


def _level(value: float, what: str, colour: str) -> Level:
    return Level(value, f"{what} {brief(value, 4)}", colour, DASHED)


def _falling(result: Result, name: str, ylabel: str, scale: str) -> list[Panel]:
    values = result.values(name)
    if values is None or values.ndim != 1:
        return []
    about = result.section("exponent")
    fitted = bool(about) and about.get("observable", "residual") == name
    final = [f"{name}: {brief(float(values[0]))} → {brief(last(values))}"]
    return [
        Panel(
            title=_fit_title(about) if fitted else final,
            ylabel=ylabel,
            curves=[Curve(name, name, values, name, BLUE)],
            scale="log" if fitted else scale,
            guides=_guides(result, about, values) if fitted else [],
            window=_window(about) if fitted else None,
        )
    ]


def _fit_title(about: dict[str, Any]) -> list[str]:
    status, rate = about.get("status", "ok"), _finite(about.get("rate"))
    predicted, error = _finite(about.get("predicted")), _finite(about.get("relative_error"))
    if not about:
        return []
    if status != "ok" or rate is None:
        return [f"fit refused: {plain_text(str(status))}"]
    if predicted is None:
        return [f"fitted rate {brief(rate, 4)}, nothing predicted"]
    if error is None and predicted:
        error = abs(rate - predicted) / abs(predicted)
    off = "" if error is None else f" ({brief(100 * abs(error), 2)} % off)"
    return [f"fitted rate {brief(rate, 4)}, predicted {brief(predicted, 4)}{off}"]


def _guides(result: Result, about: dict[str, Any], values: np.ndarray) -> list[Guide]:
    """exp(-rate t), fitted above the data, predicted below."""
    rate, predicted = _finite(about.get("rate")), _finite(about.get("predicted"))
    stderr = _finite(about.get("stderr"))
    refused = about.get("status", "ok") != "ok"
    found = []
    if rate is not None and not refused:
        spread = "" if stderr is None else f" ± {brief(stderr, 1)}"
        label = f"fitted, rate {brief(rate, 4)}{spread}"
        found.append(_slope(result, about, values, rate, 1, label, GREEN, DASHED))
    if predicted is not None:
        label = f"predicted, rate {brief(predicted, 4)}"
        found.append(_slope(result, about, values, predicted, -1, label, VERMILION, DOTTED))
    return [guide for guide in found if guide is not None]


def _slope(result, about, values, rate, side, label, colour, style) -> Guide | None:
    """A rate through the middle of the window, shifted by OFFSET decades to one side."""
    use = np.isfinite(values) & (values > 0)
    if not np.any(use):
        return None
    times, logs = result.times[use], np.log(values[use])
    start, end = _window(about) or (times[len(times) // 2], times[-1])
    inside = (times >= start) & (times <= end)
    if not np.any(inside) or end <= start:
        return None
    height = float(np.median(logs[inside] + rate * times[inside]))
    span = max(float(np.ptp(logs)), math.log(10.0))
    ts = np.geomspace(start, end, 100) if start > 0 and log_spaced(result.times) else None
    ts = np.linspace(start, end, 100) if ts is None else ts
    line = height - rate * ts + side * OFFSET * span
    # A rate far off the data's would stretch the axis: show it as far as the data go.
    seen = (line > logs.min() - 2 * OFFSET * span) & (line < logs.max() + 2 * OFFSET * span)
    return Guide(ts[seen], np.exp(line[seen]), label, colour, style)


def _window(about: dict[str, Any]) -> tuple[float, float] | None:
    ends = [_finite(end) for end in about.get("window") or []]
    if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[1] <= ends[0]:
        return None
    return ends[0], ends[1]


def _finite(value: Any) -> float | None:
    """A number of the summary; None for null, nan, or an absent key."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _robust_limits(values: np.ndarray, also: list[float]) -> tuple[tuple[float, float], int]:
    """Limits without gross outliers (rounding at the floor); how many values lie outside."""
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.05, 0.95])
    reach = 3.0 * (high - low)
    inside = finite[(finite >= low - reach) & (finite <= high + reach)]
    shown = np.concatenate([inside, also])
    margin = 0.08 * np.ptp(shown) or 0.1 * abs(float(shown[0])) or 1.0
    limits = float(shown.min() - margin), float(shown.max() + margin)
    return limits, int(np.sum((finite < limits[0]) | (finite > limits[1])))
