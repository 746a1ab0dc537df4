"""What is stored of an infinitely wide network over time."""

from typing import Any

import numpy as np

from ...config.kinds.kinds import WIDE_KERNELS
from ..measure import Flown
from ..variables.groups import Group, Variable
from .beside import Beside
from .statistics import estimated

TIME = "time"
KERNELS, BATCHES, FINITE = "wide_kernels", "wide_batches", "wide_finite"


def wide_groups(flown: Flown) -> dict[str, Group]:
    """`wide_kernels`: H^l and K over time; `wide_batches`: means over batches of neurons, with
    standard errors; `wide_finite`: the same over seeds of networks of finite width."""
    records, reached, beside = flown.solution.records, flown.reached, flown.beside["wide"]
    groups: dict[str, Group] = {}
    if beside is None:
        return groups
    if WIDE_KERNELS in records:
        kernels = records[WIDE_KERNELS]
        pair = ("sample", "other_sample")
        found = {
            "features": _over(kernels.features, reached, ("depth", *pair), "Phi^l, l = 0..L"),
            "tangent": _over(kernels.tangent, reached, pair, "K, df/dt = K Delta"),
        }
        depth = np.arange(kernels.features.shape[1])
        groups[KERNELS] = Group(found, {TIME: flown.time, "depth": depth})
    if beside.batches is not None:
        layers = {"hidden_layer": np.arange(1, beside.batches.features.shape[-1] + 1)}
        groups[BATCHES] = Group(_errors(beside, reached), {TIME: flown.time, **layers})
    if beside.finite:
        groups[FINITE] = _finite(flown, beside)
    return groups


def _over(values: Any, reached: np.ndarray, axes: tuple[str, ...], about: str) -> Variable:
    attrs = {"long_name": about, "units": "1"}
    return Variable((TIME, *axes), np.asarray(values)[reached], attrs)


def _errors(beside: Beside, reached: np.ndarray) -> dict[str, Variable]:
    runs = beside.batches
    assert runs is not None
    found = {}
    for name, draws, axes in (
        ("outputs", runs.outputs, ("sample",)),
        ("loss", runs.loss, ()),
        ("target_alignment", runs.alignment, ()),
        ("feature_change", runs.features, ("hidden_layer",)),
    ):
        mean, error = estimated(draws)
        found[f"{name}_mean"] = _over(mean, reached, axes, f"{name}, mean of batches")
        found[f"{name}_error"] = _over(error, reached, axes, f"{name}, standard error of the mean")
    return found


def _finite(flown: Flown, beside: Beside) -> Group:
    """Along `width`, over time."""
    variables: dict[str, Variable] = {}
    for name, axes in (("loss", ()), ("outputs", ("sample",)), ("alignment", ())):
        per_width = [estimated(getattr(run, name)) for run in beside.finite.values()]
        for part in ("mean", "error"):
            values = np.stack([getattr(one, part) for one in per_width])[:, flown.reached]
            about = f"{name} of finite networks: {part} over seeds"
            key = f"{name}_{part}"
            attrs = {"long_name": about.replace("error", "standard error"), "units": "1"}
            variables[key] = Variable(("width", TIME, *axes), values, attrs)
    coordinates = {TIME: flown.time, "width": np.asarray(list(beside.finite))}
    return Group(variables, coordinates)
