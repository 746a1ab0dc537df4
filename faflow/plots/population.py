"""The population loss of a flow of order parameters, beside simulations at finite N."""

import numpy as np

from .panel import Band, Curve, Level, Panel, last, number
from .stored import Stored
from .style import BLACK, BLUE, DASHED, GREY, SKY, VERMILION

NAME = "population-loss"
WIDTH = 2.0  # standard errors on either side


def population_panels(stored: Stored) -> list[Panel]:
    """e_g over time with the simulations' mean and band; below, how far they are apart."""
    values = stored.values(NAME)
    if values is None or values.ndim != 1:
        return []
    flow = Curve(NAME, "population loss of the flow", values, "flow, N → ∞", BLACK, width=0.9)
    if stored.simulation is None:
        return [Panel([f"population loss: ends at {number(last(values))}"], "e_g", [flow])]
    return [_both(stored, flow), _deviation(stored)]


def _both(stored: Stored, flow: Curve) -> Panel:
    found, about = stored.simulation, _about(stored)
    assert found is not None
    mean, error = found["mean"].values, found["standard_error"].values
    label = f"mean of {about.get('seeds')} simulations, N = {about.get('inputs')}"
    middle = Curve(
        "simulated", "mean population loss of the simulations", mean, label, VERMILION, DASHED, "o",
        hollow=True,
    )  # fmt: skip
    band = Band(
        "simulated band", f"mean -+ {WIDTH:g} standard errors",
        mean - WIDTH * error, mean + WIDTH * error, f"± {WIDTH:g} standard errors", SKY,
    )  # fmt: skip
    title = f"online learning at η = {number(stored.section('order_parameters').get('eta'))}"
    return Panel([title], "population loss e_g", [flow, middle], bands=[band])


def _deviation(stored: Stored) -> Panel:
    found, about = stored.simulation, _about(stored)
    assert found is not None
    deviation = found["deviation"].values
    worst, chance = about.get("worst_deviation"), about.get("chance")
    verdict = "not comparable"
    if worst is not None:
        verdict = f"at most {number(worst)} standard errors apart (by chance: {number(chance, 2)})"
    levels = [Level(sign * WIDTH, None, GREY, DASHED) for sign in (-1, 1)]
    levels.append(Level(0.0, None, BLACK))
    meaning = "mean of the simulations minus flow, in standard errors"
    curve = Curve("deviation", meaning, deviation, None, BLUE, marker="o")
    size = max(1.15 * float(np.nanmax(np.abs(deviation), initial=0.0)), 3.0)
    return Panel(
        [verdict], "(mean − flow) / std. error", [curve], scale="linear", levels=levels,
        limits=(-size, size), height=1.3,
    )  # fmt: skip


def _about(stored: Stored) -> dict:
    return stored.section("order_parameters").get("simulation") or {}
