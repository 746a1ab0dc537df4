"""The discrete rule beside its flow: how far its weights are away, and what its laws do."""

from __future__ import annotations

import numpy as np

from ..measures.variables.datasets import xr
from ..store.result import Result
from .panel import Curve, Panel, brief
from .style import BLACK, COOL, DASHED, FEW, SOLID, WARM, plain_text


def discrete_panels(result: Result) -> list[Panel]:
    """Distance to the flow over time, one line per eta; below, per law, measured and predicted."""
    twins = result.group("discrete")
    if twins is None:
        return []
    laws = [str(name) for name in twins if f"layer_of_{name}" in twins.coords]
    return [_distances(result, twins), *(_law(result, twins, law) for law in laws)]


def _distances(result: Result, twins: xr.Dataset) -> Panel:
    order = result.section("discrete").get("order")
    values = twins["distance"].values
    curves = [
        Curve(
            column=f"distance at eta {eta:g}",
            meaning="relative distance of the discrete rule's weights to the flow's",
            values=values[i],
            label=f"η = {brief(eta, 2)}",
            colour=COOL[i % len(COOL)],
            skip=1,
        )
        for i, eta in enumerate(twins["eta"].values.tolist())
    ]
    method = result.section("discrete").get("method", "euler")
    title = [f"{method} steps of η against the flow" + (f": order {brief(order)}" if order else "")]
    return Panel(title, "relative distance of the weights", curves, scale="log")


def _law(result: Result, twins: xr.Dataset, law: str) -> Panel:
    """What the longest step did to a law, and what its identity says."""
    measured, told = twins[law].values[0], twins.get(f"{law}_predicted")
    layers = twins[f"layer_of_{law}"].values
    eta = float(twins["eta"].values[0])
    curves = []
    for column, layer in enumerate(layers):
        colour = COOL[column % len(COOL)]
        change = measured[:, column] - measured[0, column]
        label = f"l\u00a0=\u00a0{layer}" if len(layers) <= FEW else None
        meaning = f"change of {law} under the discrete rule, eta {eta:g}"
        curves.append(Curve(f"{law} {layer}", meaning, change, label, colour, SOLID))
        if told is None:
            continue
        expected = told.values[0, :, column] - told.values[0, 0, column]
        curves.append(
            Curve(
                f"{law} {layer} predicted", "the same by the law's identity", expected,
                None if column else "predicted", BLACK if len(layers) == 1 else WARM[0], DASHED,
                width=0.8,
            )
        )  # fmt: skip
    return Panel([_verdict(result, law)], f"Q(t) − Q(0), η = {brief(eta, 2)}", curves)


def _verdict(result: Result, law: str) -> str:
    runs = result.section("discrete").get("runs", [])
    told = [run["laws"][law]["identity"] for run in runs if law in run["laws"]]
    missed = [miss for miss in told if miss is not None]
    if not missed:
        return f"{plain_text(law, 28)}: not quadratic, so no identity of finite steps"
    worst = brief(float(np.max(missed)), 2)
    return f"{plain_text(law, 28)}: identity of finite steps holds to {worst}"
