"""The population loss of a flow of order parameters, beside simulations at finite N."""

from __future__ import annotations

import numpy as np

from ..measures.variables.datasets import xr
from ..store.result import Result
from .panel import Band, Curve, Level, Panel, brief, last
from .style import BLACK, DASHED, SKY, VERMILION

NAME = "population-loss"
WIDTH = 2.0  # standard errors on either side


def population_panels(result: Result) -> list[Panel]:
    """The loss over time with the simulations' mean and band; below, both relative to the flow."""
    values = result.values(NAME)
    if values is None or values.ndim != 1:
        return []
    flow = Curve(NAME, "population loss of the flow", values, "flow, N → ∞", BLACK, width=0.9)
    found = result.group("simulation")
    if found is None:
        return [
            Panel([f"population loss: ends at {brief(last(values))}"], "population loss", [flow])
        ]
    return [_both(result, found, flow), _apart(result, found, values)]


def _both(result: Result, found: xr.Dataset, flow: Curve) -> Panel:
    about = _about(result)
    mean, error = found["mean"].values, found["standard_error"].values
    label = f"mean of {about.get('seeds')} runs, N = {about.get('inputs')}"
    middle = Curve(
        "simulated", "mean population loss of the simulations", mean, label, VERMILION, DASHED, "o",
        hollow=True,
    )  # fmt: skip
    band = _band(
        "simulated band", "mean of the simulations", mean - WIDTH * error, mean + WIDTH * error
    )
    eta = result.section("order_parameters").get("eta")
    title = "online learning" + ("" if eta is None else f" at η = {brief(eta, 2)}")
    return Panel([title], "population loss", [flow, middle], bands=[band])


def _apart(result: Result, found: xr.Dataset, flow: np.ndarray) -> Panel:
    """The band around the mean, seen from the flow: it should hold the flow at about every save."""
    about = _about(result)
    with np.errstate(all="ignore"):
        share, error = found["mean"].values / flow - 1, found["standard_error"].values / flow
    worst, chance = about.get("worst_deviation"), about.get("chance")
    verdict = "simulations and flow can't be compared"
    if worst is not None and chance is not None:
        verdict = f"worst deviation {brief(worst)} standard errors (chance {brief(chance, 2)})"
    meaning = "(mean of the simulations - flow) / flow"
    curve = Curve("apart", meaning, share, "simulations", VERMILION, DASHED, "o", hollow=True)
    band = _band("apart band", meaning, share - WIDTH * error, share + WIDTH * error)
    level = Level(0.0, None, BLACK)
    return Panel(
        [verdict], "relative to the flow", [curve], "linear", [band], levels=[level], height=1.6
    )


def _band(column: str, meaning: str, lower: np.ndarray, upper: np.ndarray) -> Band:
    more = f"{meaning} -+ {WIDTH:g} standard errors"
    return Band(column, more, lower, upper, f"± {WIDTH:g} std. errors", SKY)


def _about(result: Result) -> dict:
    return result.section("order_parameters").get("simulation") or {}
