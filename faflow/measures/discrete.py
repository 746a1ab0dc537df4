"""[discrete]: the config's rule in steps of eta, beside its flow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from .._compiling import LOOP, compiled
from .._results import Outcome
from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..config.section import DISCRETE
from ..flow import Discrete, FlowProblem, FlowSolution, TwinSolution, run_twin
from ..observables import Loss
from ..rules import FAStar, bare
from .measure import Experiment, Flown, Laws, Measure, Note, Observed, Section, line
from .tables import number, worst
from .variables.groups import Group, Variable
from .variables.weights import WeightsNow

TWIN = "twin_weights"  # the record by which a flow is compared with its discrete twin
MANY_STEPS = 10**6  # that are told beforehand: seconds, and more for large nets
MOST_STEPS = 10**9  # of some microseconds each, at the least: hours


class Twin(NamedTuple):
    """One eta: the discrete run, and (saves,) the relative distance of its weights to the flow's;
    nan where either was no number or had ended, inf from zero weights."""

    eta: float
    solution: TwinSolution
    distance: np.ndarray


def etas(resolved: Resolved) -> tuple[float, ...]:
    """The steps asked for, longest first; () without [discrete]."""
    section = resolved.config.discrete
    if section is None:
        return ()
    return tuple(sorted(set(section.eta), reverse=True))


def count_steps(resolved: Resolved) -> int:
    """All steps of all etas."""
    return sum(math.ceil(resolved.flow.t1 / eta) for eta in etas(resolved))


def check_discrete(resolved: Resolved, experiment: Experiment) -> str:
    """How many steps it will be, if these are many. ConfigError if the steps or the mini-batches
    can't be taken."""
    section, samples = resolved.config.discrete, experiment.problem.data.inputs.shape[0]
    if section is None:
        return ""
    if max(etas(resolved)) > resolved.flow.t1:
        what = f"is {max(etas(resolved))}; it must be at most flow.t1 = {resolved.flow.t1}"
        raise ConfigError("discrete.eta", what)
    steps, t1 = count_steps(resolved), resolved.flow.t1
    if steps > MOST_STEPS:
        what = f"is {min(etas(resolved))}, which makes {steps:.3g} steps up to flow.t1 = {t1}, of"
        raise ConfigError("discrete.eta", f"{what} {MOST_STEPS:.0e} at most; raise it or lower t1")
    if section.batch is not None and section.batch > samples:
        what = f"is {section.batch}, but there are {samples} samples; lower it"
        raise ConfigError("discrete.batch", what)
    if section.batch is not None and isinstance(experiment.problem.rule, FAStar):
        what = f"is {section.batch}, but fa-star solves for its read-out on all samples; remove it"
        raise ConfigError("discrete.batch", what)
    return f"the discrete rule will take {steps} steps" if steps > MANY_STEPS else ""


def run_twins(
    resolved: Resolved, experiment: Experiment, solution: FlowSolution, note: Note
) -> tuple[Twin, ...]:
    """The discrete rule at every eta; one program for all of them. Laws that the rule claims are
    followed; what the identity makes of them is told of the quadratic ones, which alone obey it."""
    section = resolved.config.discrete
    if section is None:
        return ()
    note(f"running the discrete rule, {count_steps(resolved)} steps")
    key = resolved.config.key(section, DISCRETE)
    laws = {name: law for name, (law, claimed) in experiment.laws.items() if claimed}
    observables = {"loss": Loss(), TWIN: WeightsNow(False)}
    problem = experiment.problem
    problem = dataclasses.replace(problem, rule=bare(problem.rule))  # forecasts are the flow's
    run = compiled(LOOP)(run_twin)
    found = []
    for eta in etas(resolved):
        discrete = Discrete(eta, key, section.batch, section.method)
        twin = jax.block_until_ready(run(problem, experiment.ts, observables, laws, discrete))
        found.append(Twin(eta, twin, _distance(twin, solution)))
    return tuple(found)


def _distance(twin: TwinSolution, solution: FlowSolution) -> np.ndarray:
    ours, theirs = (_flat(records[TWIN]) for records in (twin.records, solution.records))
    with np.errstate(all="ignore"):
        apart = np.linalg.norm(ours - theirs, axis=1)
        relative = np.where(apart == 0, 0.0, apart / np.linalg.norm(theirs, axis=1))
    both = np.asarray(twin.reached) & np.asarray(solution.reached)
    return np.where(both, relative, np.nan)


def _flat(weights: dict[str, Any]) -> np.ndarray:
    """(saves, all weights)."""
    arrays = [np.asarray(weights[name]) for name in sorted(weights)]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """`order`: of the distance at the end in eta, by least
    squares through all of them (None: fewer than two)."""
    del summary
    section = flown.resolved.config.discrete
    if section is None:
        return None
    experiment, twins = flown.experiment, flown.beside["discrete"]
    runs = [_run(experiment, twin) for twin in twins]
    ends = np.array([twin.distance[-1] for twin in twins])
    steps = np.array([twin.eta for twin in twins])
    fine = np.isfinite(ends) & (ends > 0)
    order = None
    if np.sum(fine) >= 2:
        order = float(np.polyfit(np.log(steps[fine]), np.log(ends[fine]), 1)[0])
    return {"method": section.method, "batch": section.batch, "runs": runs, "order": order}


def _run(experiment: Experiment, twin: Twin) -> dict[str, Any]:
    reached = np.asarray(twin.solution.reached)
    status = Outcome.COMPLETED if reached[-1] else Outcome.BLOW_UP
    finite = twin.distance[np.isfinite(twin.distance)]
    return {
        "eta": twin.eta,
        "steps": int(twin.solution.steps[-1]),
        "status": str(status),
        "distance": float(twin.distance[-1]),
        "largest_distance": float(np.max(finite, initial=0.0)),
        "laws": {name: _law(experiment, twin.solution, name) for name in twin.solution.laws},
    }


def _law(experiment: Experiment, twin: TwinSolution, name: str) -> dict[str, float | None]:
    """How far the law moved, and how far that is from the identity (None: it has none), relative
    to its scale."""
    problem, reached = experiment.problem, np.asarray(twin.reached)
    law = experiment.laws[name][0]
    scales = jax.tree.leaves(law.scale(problem.weights, problem.feedback, problem.data))
    found = [np.asarray(leaf)[reached] for leaf in jax.tree.leaves(twin.laws[name])]
    sizes = [
        float(np.maximum(np.max(np.abs(scale)), np.max(np.abs(values))))
        for scale, values in zip(scales, found, strict=True)
    ]

    def largest(against: list[np.ndarray]) -> float:
        misses = map(lambda values, told: np.max(np.abs(values - told)), found, against)
        shares = [_share(float(miss), size) for miss, size in zip(misses, sizes, strict=True)]
        return float(np.max(shares))

    told = [np.asarray(leaf)[reached] for leaf in jax.tree.leaves(twin.predicted.get(name, []))]
    moved = largest([values[:1] for values in found])
    return {"relative_change": moved, "identity": largest(told) if told else None}


def _share(part: float, whole: float) -> float:
    """part / whole, 0 where there is no part: a law of zero weights has no scale."""
    if part == 0:
        return 0.0
    return part / whole if whole > 0 else math.inf


def discrete_group(
    experiment: Experiment, twins: tuple[Twin, ...], time: Variable, reached: np.ndarray
) -> Group:
    """Over eta and time: `distance`, `loss`, and the layer balance as it was and, if its identity
    says, as predicted, its hidden layers counted from 1."""
    about = {
        "distance": "relative distance of the weights to the flow's",
        "loss": "loss",
        "steps": "steps taken so far",
    }
    columns = {
        "distance": [twin.distance[reached] for twin in twins],
        "loss": [np.asarray(twin.solution.records["loss"])[reached] for twin in twins],
        "steps": [np.asarray(twin.solution.steps)[reached] for twin in twins],
    }
    found = {
        name: Variable(("eta", "time"), np.stack(values), _attrs(about[name]))
        for name, values in columns.items()
    }
    coordinates: dict[str, Any] = {"time": time, "eta": [twin.eta for twin in twins]}
    for name in twins[0].solution.laws:
        if isinstance(twins[0].solution.laws[name], tuple | list):
            continue  # per neuron: in the summary only
        coordinates[f"layer_of_{name}"] = np.asarray(experiment.laws[name][0].layers)
        for suffix, part in (("", "laws"), ("_predicted", "predicted")):
            if name not in getattr(twins[0].solution, part):
                continue  # not quadratic: no identity speaks of it
            values = [np.asarray(getattr(twin.solution, part)[name])[reached] for twin in twins]
            dims = ("eta", "time", f"layer_of_{name}")
            found[name + suffix] = Variable(dims, np.stack(values), _attrs(name))
    return Group(found, coordinates)


def _attrs(about: str) -> dict[str, str]:
    return {"long_name": about, "units": "1"}


def _line(discrete: Mapping[str, Any]) -> str:
    runs = discrete["runs"]
    ends = ", ".join(f"{number(run['distance'])} at eta {number(run['eta'])}" for run in runs)
    text = f"{discrete['method']}: distance to the flow {ends}"
    if discrete["order"] is not None:
        text += f" (order {number(discrete['order'])})"
    told = [law["identity"] for run in runs for law in run["laws"].values()]
    missed = worst([value for value in told if value is not None])
    return text + ("" if missed is None else f"; law identity holds to {number(missed)}")


def _needs(resolved: Resolved, problem: FlowProblem, laws: Laws) -> Observed:
    del problem, laws
    return {} if resolved.config.discrete is None else {TWIN: WeightsNow(False)}


def _groups(flown: Flown) -> dict[str, Group]:
    twins = flown.beside["discrete"]
    if not twins:
        return {}
    return {"discrete": discrete_group(flown.experiment, twins, flown.time, flown.reached)}


DISCRETE_TWIN = Measure(
    "discrete",
    _section,
    line("discrete", _line),
    needs=_needs,
    apart=(TWIN,),
    check=check_discrete,
    beside=run_twins,
    groups=_groups,
    gathered=("discrete",),
    errors=("identity",),
)
