"""Laws that a modifier breaks: as measured, as forecast, and the difference."""

import numpy as np

from ..store.result import Result
from .drift import Drift, drift_curves, layers_of, scale_of, tolerance_levels
from .panel import Curve, Panel, brief
from .style import BLACK, COOL, DASHED, FEW, SOLID, plain_text

FORECAST = "_forecast"  # the result name, as in rules/modifiers/forecast.py (drawing needs no JAX)


def forecast_panels(result: Result) -> list[Panel]:
    """Per law that has one value per layer, measured and forecast; below, what is between them."""
    laws = [law for law in result.section("laws") if result.axes(f"{law}{FORECAST}")]
    if not laws:
        return []
    return [*(_law(result, law) for law in laws), _errors(result)]


def _law(result: Result, law: str) -> Panel:
    curves = []
    pairs = list(zip(layers_of(result, law), layers_of(result, law + FORECAST), strict=True))
    for index, ((layer, _, measured), (_, _, told)) in enumerate(pairs):
        colour = COOL[index % len(COOL)]
        label = f"l\u00a0=\u00a0{layer}" if len(pairs) <= FEW else None
        meaning = f"change of {law}, layer {layer}"
        measured, told = (values - values[0] for values in (measured, told))
        curves.append(Curve(f"{law} {layer}", meaning, measured, label, colour, SOLID, width=1.8))
        last = "forecast" if index == len(pairs) - 1 else None
        curves.append(
            Curve(
                f"{law} {layer} forecast",
                "the same, forecast",
                told,
                last,
                BLACK,
                DASHED,
                width=0.8,
            )
        )
    rule = result.section("laws")[law]
    worst = brief(float(np.max(rule.get("relative_forecast_error", [np.nan]))), 2)
    return Panel([f"{plain_text(law, 34)}: forecast to {worst}"], "Q(t) − Q(0)", curves)


def _errors(result: Result) -> Panel:
    """|Q - forecast| / scale, one line per law and layer, every form of the laws."""
    found = []
    for law in result.section("laws"):
        pairs = zip(layers_of(result, law), layers_of(result, law + FORECAST), strict=False)
        for index, ((layer, name, measured), (_, _, told)) in enumerate(pairs):
            size = np.abs(measured - told).reshape(len(measured), -1)
            values = np.max(size, axis=1, initial=0.0) / scale_of(result, law, name, index)
            found.append(Drift(law, layer, True, values))
    worst = brief(max(drift.worst for drift in found), 2)
    return Panel(
        title=[f"measured minus forecast: worst {worst}"],
        ylabel="|Q(t) − forecast| / scale",
        curves=drift_curves(found, COOL),
        scale="log",
        levels=tolerance_levels(result),
    )
