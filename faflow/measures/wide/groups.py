"""What is stored of an infinitely wide network over time."""

from typing import Any

import numpy as np

from ...config.kinds.kinds import WIDE_KERNELS
from ...setup.wide import NUMBERS, OUTPUTS, TESTS
from ..measure import Flown
from ..variables.groups import Group, Variable
from .beside import Beside
from .statistics import estimated

TIME = "time"


def wide_groups(flown: Flown) -> dict[str, Group]:
    """`wide`: outputs and what kernels come to; `wide_kernels`: themselves; `wide_finite`: of
    networks of finite width, means over seeds with standard errors."""
    records, reached = flown.solution.records, flown.reached
    if NUMBERS not in records:
        return {}
    beside: Beside = flown.beside["wide"]
    numbers = records[NUMBERS]
    variables = {
        "outputs": _over(records[OUTPUTS], reached, ("sample",), "f at the samples"),
        "alignments": _over(numbers.alignments, reached, ("signal",), "G~^l, mean over samples"),
        "target_alignment": _over(numbers.target_alignment, reached, (), "A(K, y y^T)"),
        "feature_change": _over(
            numbers.feature_change, reached, ("hidden_layer",), "|Phi^l - Phi^l(0)| / |Phi^l(0)|"
        ),
    }
    if TESTS in records:
        variables["test_outputs"] = _over(records[TESTS], reached, ("test",), "f at test points")
    if beside.batches is not None:
        variables |= _errors(beside, reached)
    layers = variables["feature_change"].values.shape[-1]
    named = {"signal": np.arange(1, layers + 2), "hidden_layer": np.arange(1, layers + 1)}
    coordinates = {TIME: flown.time, **named}
    groups = {"wide": Group(variables, coordinates)}
    if WIDE_KERNELS in records:
        kernels = records[WIDE_KERNELS]
        pair = ("sample", "other_sample")
        found = {
            "features": _over(kernels.features, reached, ("depth", *pair), "Phi^l, l = 0..L"),
            "tangent": _over(kernels.tangent, reached, pair, "K, df/dt = K Delta"),
        }
        depth = {"depth": np.arange(layers + 1)}
        groups[WIDE_KERNELS.replace("-", "_")] = Group(found, {TIME: flown.time, **depth})
    if beside.finite:
        groups["wide_finite"] = _finite(flown, beside)
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
