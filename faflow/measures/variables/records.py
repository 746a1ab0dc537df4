"""Records with named dimensions: a flow's solution in groups, of which a DataTree is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...flow import FlowProblem
from ...networks import AbstractLayeredNetwork, Model
from ...observables import AbstractConservationLaw, ScaleOf
from ...rules.modifiers.forecast import SUFFIX
from ...solvers import counts_evaluations
from ..measure import Experiment, Flown
from ..recorded.series import WEIGHTS
from ..registry import MEASURES
from .groups import Group, Variable
from .weights import BACK, feedback_moves, feedback_paths, named_arrays

_APART = frozenset(name for measure in MEASURES.values() for name in measure.apart)
_ONE_BASED = ("layer", "hidden_layer", "feedback", "signal_layer")


def result_groups(flown: Flown) -> dict[str, Group]:
    """Groups `records`, `start`, `final` and, if recorded, `weights`, and those that measures have
    of their own; reached times only."""
    problem, solution, reached = flown.problem, flown.solution, flown.reached
    inputs, layered = problem.data.inputs, isinstance(problem.weights, AbstractLayeredNetwork)
    moves = feedback_moves(problem)
    feedback = solution.feedback if moves else type(solution.feedback)()
    groups = {
        "records": records_group(flown),
        "start": _weights(named_arrays(problem.weights, problem.feedback, inputs), layered),
        "final": _weights(named_arrays(solution.weights, feedback, inputs), layered),
    }
    if WEIGHTS in solution.records:
        over_time = {k: np.asarray(v)[reached] for k, v in solution.records[WEIGHTS].items()}
        groups[WEIGHTS] = _weights(over_time, layered, flown.time)
    for measure in MEASURES.values():
        groups |= measure.groups(flown)
    return groups


def records_group(flown: Flown) -> Group:
    """What was recorded over time; reached times only."""
    experiment, solution, reached = flown.experiment, flown.solution, flown.reached
    variables: dict[str, Any] = {}
    hidden = _hidden(experiment)
    for name, see in experiment.observables.items():
        if name not in _APART:
            variables |= _variables(name, see, solution.records[name], reached, hidden)
    for name, record in solution.records.items():
        if name.endswith(SUFFIX):
            law = experiment.observables[name.removesuffix(SUFFIX)]
            variables |= _variables(name, law, record, reached, hidden)
    counts = solution.counts_at
    counted = [
        ("steps", counts.accepted, "accepted steps so far"),
        ("rejected", counts.rejected, "rejected steps so far"),
    ]
    if counts_evaluations(experiment.numerics.build_solver()):
        counted.append(("field_evaluations", counts.evaluations, "field evaluations so far"))
    for name, values, about in counted:
        attrs = {"long_name": about, "units": "1"}
        variables[name] = Variable(("time",), np.asarray(values)[reached], attrs)
    coordinates = {"time": flown.time, **_layer_coordinates(variables, experiment)}
    return Group(variables, coordinates)


def _variables(
    name: str, see: Any, record: Any, reached, hidden: int | None
) -> dict[str, Variable]:
    if isinstance(record, Mapping):
        leaves = {f"{name}_{leaf}": (value, see.axes) for leaf, value in record.items()}
    elif isinstance(record, tuple | list):
        layers = law_layers(see) or range(1, len(record) + 1)
        # Rows of different places of a model are different axes.
        own = "" if hidden is not None else name.removesuffix("_scale").removesuffix(SUFFIX) + "_"
        leaves = {
            f"{name}_{layer}": (value, tuple(f"{own}{axis}_{layer}" for axis in see.axes))
            for layer, value in zip(layers, record, strict=True)
        }
    else:
        leaves = {name: (record, _axes_of(name, see, hidden))}
    attrs = {"long_name": see.label, "units": "1"}
    return {
        key: Variable(("time", *axes), np.asarray(value)[reached], attrs)
        for key, (value, axes) in leaves.items()
    }


def _hidden(experiment: Experiment) -> int | None:
    """How many hidden layers there are; None of a model, which has places instead."""
    network = experiment.problem.weights
    return len(network.weights) - 1 if isinstance(network, AbstractLayeredNetwork) else None


def law_layers(see: Any) -> tuple[int, ...] | None:
    """The hidden layers that a law, or a law's scale, speaks of; None for other observables."""
    law = see.law if isinstance(see, ScaleOf) else see
    return law.layers if isinstance(law, AbstractConservationLaw) else None


def _axes_of(name: str, see: Any, hidden: int | None) -> tuple[str, ...]:
    # A law of some hidden layers only (direct feedback) has an axis of its own.
    layers = law_layers(see)
    if layers and (hidden is None or layers != tuple(range(1, hidden + 1))):
        law = name.removesuffix("_scale").removesuffix(SUFFIX)
        return tuple(f"{axis}_of_{law}" for axis in see.axes)
    return see.axes


def _layer_coordinates(variables, experiment: Experiment) -> dict[str, Any]:
    sizes = {
        axis: size
        for variable in variables.values()
        for axis, size in zip(variable.dims, variable.values.shape, strict=True)
    }
    found: dict[str, Any] = {}
    model = experiment.problem.weights
    paths = _leaf_coordinates(experiment.problem, model) if isinstance(model, Model) else {}
    for axis, size in sizes.items():
        if len(paths.get(axis, ())) == size:
            found[axis] = paths[axis]
        elif axis in _ONE_BASED:
            found[axis] = np.arange(1, size + 1)
        elif "_of_" in axis:
            law = experiment.observables[axis.split("_of_")[1]]
            law = law.law if isinstance(law, ScaleOf) else law
            found[axis] = list(getattr(law, "places", ())) or np.asarray(law_layers(law))
    return found


def _leaf_coordinates(problem: FlowProblem, model: Model) -> dict[str, list[str]]:
    """The paths of a model's leaves, and of those that have feedback."""
    back = feedback_paths(model, problem.feedback, problem.data.inputs)
    return {"layer": list(model.paths), "feedback": [path.removeprefix(BACK) for path in back]}


def _weights(arrays: Mapping[str, Any], layered: bool, time: Variable | None = None) -> Group:
    """W_l as (units_l, units_{l-1}); F_l like W_l; D_l as (units_L, units_l); b_l as (units_l).
    Arrays of a model have axes of their own."""
    before = () if time is None else ("time",)
    last = max(int(name[1:]) for name in arrays if name.startswith("W")) if layered else 0
    variables = {}
    for name, array in arrays.items():
        rank = np.ndim(array) - len(before)
        dims = _dims(name, last) if layered else tuple(f"{name}_{axis}" for axis in range(rank))
        variables[name] = Variable(before + dims, np.asarray(array), {"units": "1"})
    return Group(variables, {} if time is None else {"time": time})


def _dims(name: str, last: int) -> tuple[str, ...]:
    letter, layer = name[0], int(name[1:])
    upper = f"units_{layer}"
    if letter == "b":
        return (upper,)
    return (f"units_{last}", upper) if letter == "D" else (upper, f"units_{layer - 1}")
