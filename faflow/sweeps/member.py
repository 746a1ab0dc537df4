"""One member of a sweep: its flow, summary and records as plain arrays."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..config.schema import SweepSection
from ..ensembles import solve_batch
from ..flow import SKETCH, Flow, FlowSolution, KinkError, Meter, companion, compare_flows, integrate
from ..measures.experiment import build, check
from ..measures.measure import Experiment, Note
from ..measures.registry import MEASURES
from ..measures.summary import Seconds
from ..measures.variables.groups import Group, Variable
from ..runs.memory import check_memory
from ..runs.run import Integrate, compute
from .gaps import REFUSED

BUDGET = 5_000  # steps of a flow in a batch; one that needs more is run alone
# Groups of a result that are the same size for all members.
GROUPS = ("records", *(name for measure in MEASURES.values() for name in measure.gathered))
NEURON = "neuron"  # what dimensions of records are called that have an entry per neuron
ABOUT = ("schema", "name", "environment", "warnings", "facts")  # of a summary, for no one member


class Member(NamedTuple):
    """`summary` as of a single run; `variables` by group/name, as long in time as all saves;
    `coordinates` of their other axes by group/axis."""

    summary: dict[str, Any]
    variables: dict[str, Variable]
    coordinates: dict[str, list[Any]]


def compute_member(
    resolved: Resolved,
    section: SweepSection,
    trusted: bool = False,
    integrate: Integrate | None = None,
) -> Member:
    """Run one member. A config that does not fit, once there are data, is a result too. `trusted`:
    another member of its program has run in this process. `integrate`: in place of
    `integrate_again`."""
    found = _built(resolved, trusted)
    return found if isinstance(found, Member) else _finished(resolved, found, section, integrate)


def compute_batch(
    resolved: Sequence[Resolved], section: SweepSection, trusted: bool
) -> list[Member]:
    """The same of several members of one program, whose flows are integrated at once, on all
    devices. Where they can't be (numbers that are compiled in, errors at kinks that take a second
    flow), one after the other."""
    built = [_built(one, trusted or i > 0) for i, one in enumerate(resolved)]
    whole = [e for e in built if isinstance(e, Experiment) and SKETCH not in e.observables]
    flows = [_flow(each) for each in whole]
    started, known = time.perf_counter(), {}
    with contextlib.suppress(ValueError):
        solutions = solve_batch(flows, jax.devices(), BUDGET) if flows else []
        each = Seconds(0.0, (time.perf_counter() - started) / max(len(flows), 1))
        known = {
            id(e): (solution, each, None) for e, solution in zip(whole, solutions, strict=True)
        }
    members = []
    for one, found in zip(resolved, built, strict=True):
        if isinstance(found, Member):
            members.append(found)
            continue
        done = known.get(id(found))
        ready = integrate_again if done is None else (lambda *_, done=done: done)
        members.append(_finished(one, found, section, ready))
    return members


def _built(resolved: Resolved, trusted: bool) -> Experiment | Member:
    try:
        with np.errstate(all="ignore"):
            experiment = build(resolved, trusted)
            if not trusted:
                check_memory(resolved, experiment, None)
            check(resolved, experiment)
            return experiment
    except ConfigError as error:
        return _refused(error)


def _refused(error: ConfigError) -> Member:
    return Member({"status": REFUSED, "message": str(error)}, {}, {})


def _finished(
    resolved: Resolved,
    experiment: Experiment,
    section: SweepSection,
    integrate: Integrate | None = None,
) -> Member:
    """The member of a built experiment."""
    try:
        with np.errstate(all="ignore"):
            summary, found = compute(
                resolved, experiment, _silent, None, integrate or integrate_again
            )
    except ConfigError as error:
        return _refused(error)
    groups = (*GROUPS, "final") if section.weights else GROUPS
    kept = {key: value for key, value in summary.items() if key not in ABOUT}
    saves = len(experiment.ts)
    variables: dict[str, Variable] = {}
    coordinates: dict[str, list[Any]] = {}
    for group in groups:
        if group in found:
            variables |= {
                f"{group}/{name}": variable
                for name, variable in _variables(found[group], saves).items()
                if section.neurons or not any(dim.startswith(NEURON) for dim in variable.dims)
            }
            coordinates |= {f"{group}/{dim}": at for dim, at in _coordinates(found[group]).items()}
    return Member(kept, variables, coordinates)


def integrate_again(
    experiment: Experiment,
    note: Note,
    meter: Meter | None,
    integrated: Callable[[Flow], FlowSolution] | None = None,
) -> tuple[FlowSolution, Seconds, KinkError | None]:
    """Like `integrate_timed`, with the programs that this process has compiled already;
    `integrated`: in place of `integrate`."""
    del note, meter
    started = time.perf_counter()
    flow = _flow(experiment)
    integrated = integrated or _integrated
    solution, error = integrated(flow), None
    if SKETCH in flow.observables:
        coarser = companion(flow)
        error = compare_flows(solution, integrated(coarser.flow), coarser)
    return solution, Seconds(0.0, time.perf_counter() - started), error


def _flow(experiment: Experiment) -> Flow:
    return Flow(experiment.problem, experiment.ts, experiment.observables, experiment.numerics)


def _integrated(flow: Flow) -> FlowSolution:
    return jax.block_until_ready(integrate(*flow[:4], throw=False))


def _silent(text: str) -> None:
    del text


def _variables(group: Group, saves: int) -> dict[str, Variable]:
    """The group's variables and its times, as long in time as all saves."""
    found, time = {}, group.coordinates.get("time")
    for name, variable in (group.variables | ({} if time is None else {"time": time})).items():
        dims, values = tuple(map(str, variable.dims)), np.asarray(variable.values)
        if "time" in dims:  # a flow that ended early has fewer saves
            values = values.astype(np.float64)
            axis = dims.index("time")
            wide = [(0, saves - n if i == axis else 0) for i, n in enumerate(values.shape)]
            values = np.pad(values, wide, constant_values=np.nan)
        attrs = {key: str(value) for key, value in variable.attrs.items()}
        found[name] = Variable(dims, values, attrs)
    return found


def _coordinates(group: Group) -> dict[str, list[Any]]:
    return {
        name: np.asarray(values).tolist()
        for name, values in group.coordinates.items()
        if name != "time"
    }
