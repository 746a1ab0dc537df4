"""Run a config: resolve, build, compile, integrate, summarise, store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from .._results import Outcome
from ..config.blame import blaming
from ..config.errors import ConfigError
from ..config.expect import judge_bounds
from ..config.resolve import Resolved, resolve_path
from ..flow import (
    SKETCH,
    Flow,
    FlowSolution,
    KinkError,
    Meter,
    beside,
    by_its_solvers,
    check_times,
    companion,
    compare_flows,
    is_automatic,
    settled,
)
from ..measures.experiment import build, check
from ..measures.json_numbers import plain
from ..measures.measure import Experiment, Flown, Note
from ..measures.registry import MEASURES
from ..measures.summary import Seconds, summarise, summary_rows
from ..measures.variables.groups import Group, as_tree
from ..measures.variables.records import result_groups
from ..setup.programs import telling_programs
from ..setup.split import mesh_of
from ..solved import with_distances
from ..store import folder as store
from ..store.digest import Digest, digest
from ..store.result import Result, open_result
from . import processes
from .checkpoint import Checkpoints, checkpoints, discard
from .ends import Earlier, Ends, ends_of, goes_in_place, gone_on_from
from .legs import Legs
from .memory import check_data, check_memory
from .so_far import SoFar

Integrate = Callable[
    [Experiment, Note, Meter | None], tuple[FlowSolution, Seconds, KinkError | None]
]


def run(
    config: str | Path | Mapping[str, Any] | Resolved,
    *,
    X: Any = None,
    y: Any = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    out: str | Path | None = None,
    store_result: bool = True,
    replace: bool = False,
    checkpoint: float | None = None,
    end_state: bool = True,
    earlier: Earlier | None = None,
    note: Note = lambda text: None,
    tell: Note = lambda text: None,
    meter: Meter | None = None,
) -> Result:
    """Run a config (a path, a shipped one's name, tables or a resolved one) and store the result.

    `X`, `y`: arrays in place of the config's task. `overrides`: "a.b=value" as after `--set`, or
    {"a.b": value}; values and tables may hold objects where a config names kinds
    ({"rule.kind": rule, "observe.names": ["loss", function]}).
    An identical result that is already stored is read back instead, its bounds judged afresh; a
    different one is an error unless `replace`. `checkpoint`: seconds after which what the flow
    knows is kept on disk, beside the result; a flow that was interrupted goes on from there.
    `end_state`: what it knows at its end is kept in the result, so that it can be extended;
    `earlier`: the stored run that it goes on from (`runs.extend`). `note` hears what is being done,
    `tell` what has to be known before the flow starts: the memory that it needs, if that is much,
    and that compiled programs can't be kept. `meter` is told how much of the flow is done, 0 to 1
    (`faflow.Bar` shows it). JAX must be in the config's precision before any array is made:
    `jax.config.update("jax_enable_x64", True)` for float64. ConfigError for bad input; a flow that
    ends early is a result like others (`status`).
    """
    if isinstance(config, Resolved):
        resolved = config
    else:
        arrays = None if X is None and y is None else (X, y)
        resolved = resolve_path(config, overrides, arrays=arrays)
    check_precision(resolved)
    folder = (
        store.folder_for(resolved, None if out is None else Path(out)) if store_result else None
    )
    mesh = mesh_of(resolved)
    check_data(resolved)
    found = _Found()
    state = processes.decided(lambda: _state(resolved, folder, found), STATES)
    if state == "same":
        if processes.is_first() and found.digest is not None:
            discard(folder, found.digest.config)
        return _elsewhere() if found.result is None else found.result
    replacing, replace = replace, replace or state == "damaged" or goes_in_place(earlier, folder)
    # What is not finite is said in words.
    with telling_programs(tell), np.errstate(all="ignore"), beside(mesh):
        experiment = found.experiment(resolved, mesh)
        told = check(resolved, experiment)
        if state in _HELD and not replace:
            what = f"is {folder}, which holds {_HELD[state]}; use --out DIR or --replace"
            raise ConfigError("--out", what)
        for word in (*told, check_memory(resolved, experiment, mesh)):
            if word:
                tell(word)
        with checkpoints(resolved, folder, checkpoint, replacing, note, mesh, found.digest) as kept:
            ends = ends_of(found.digest, mesh, end_state, earlier)
            so_far = None
            if kept is not None and folder is not None:
                so_far = SoFar(resolved, experiment, folder)
                note(f"records so far in {so_far.path}; faflow plot --follow {folder}")
            ready = partial(integrate_timed, mesh=mesh, checkpoints=kept, ends=ends, so_far=so_far)
            summary, groups = compute(resolved, experiment, note, meter, ready)
            folder = folder if processes.is_first() else None
            if folder is not None and found.digest is not None:
                end = ends.told(tell) if ends is not None and end_state else b""
                history = gone_on_from(earlier, ends)
                store.write_result(
                    resolved, summary, groups, folder, replace, found.digest, end, history
                )
    return Result(summary, cache(partial(as_tree, groups)), folder, fresh=True, groups=groups)


STATES = ("absent", "same", "damaged", "other-code", "different")
_HELD = {
    "different": "a different result",
    "other-code": "the same config's result, computed by another version of faflow",
}


def _elsewhere() -> Result:
    """What the other processes have of a result that process 0 read back."""
    return Result({"status": str(Outcome.COMPLETED)}, partial(as_tree, {}), None, fresh=False)


@dataclasses.dataclass
class _Found:
    """What a run is, and the result that its folder holds if that is the same."""

    digest: Digest | None = None
    result: Result | None = None
    hashed: Experiment | None = None  # of code of the user's own

    def keep(self, experiment: Experiment) -> None:
        self.hashed = experiment

    def experiment(self, resolved: Resolved, mesh: Mesh | None) -> Experiment:
        """The one that was built and looked at to be hashed, or another, whose samples may be
        divided among devices."""
        looked_at = self.digest is not None and resolved.has_own_code
        taken, self.hashed = self.hashed, None  # whoever runs it holds its arrays
        return taken if taken and mesh is None else build(resolved, trusted=looked_at)


def _state(resolved: Resolved, folder: Path | None, found: _Found) -> str:
    """What lies in the folder, one of STATES. ConfigError if it can't be read or written."""
    if folder is None:
        return "absent"
    found.digest = digest(resolved, found.keep)
    state = store.standing_of(folder, found.digest)
    if state == "same":
        store.check_readable(folder)
        try:
            result = open_result(folder)
            summary_rows(result.summary)
        except (ConfigError, LookupError, TypeError, ValueError):
            state = "damaged"  # the same run once more
        else:
            found.result = _judged_afresh(resolved, result)
            return state
    store.try_out(folder)
    return state


def compute(
    resolved: Resolved,
    experiment: Experiment,
    note: Note,
    meter: Meter | None,
    integrate: Integrate | None = None,
) -> tuple[dict[str, Any], dict[str, Group]]:
    """The flow of a built experiment and all that belongs to it: summary and groups of records."""
    own = resolved.has_own_code
    with blaming("flow", resolved.suspects, "rule.kind") if own else nullcontext():
        solution, seconds, error = (integrate or integrate_timed)(experiment, note, meter)
        solution = with_distances(experiment.observables, solution)
        beside = {
            name: measure.beside(resolved, experiment, solution, note)
            for name, measure in MEASURES.items()
            if measure.beside is not None
        }
        flown = Flown(resolved, experiment, solution, error, beside)
        return summarise(flown, seconds), result_groups(flown)


def _judged_afresh(resolved: Resolved, result: Result) -> Result:
    """A stored result under the config's own bounds, which may have changed since."""
    summary = {key: value for key, value in result.summary.items() if key != "expect"}
    if resolved.config.expect:
        summary["expect"] = plain(judge_bounds(resolved.config.bounds, summary))
    if summary == result.summary or result.folder is None:
        return result
    store.rewrite_bounds(resolved, summary, result.folder)
    return dataclasses.replace(result, summary=summary)


def check_precision(resolved: Resolved) -> None:
    """JAX runs in the config's precision, or a loud error: nothing is computed in another."""
    wanted = resolved.config.precision == "float64"
    if bool(jax.config.read("jax_enable_x64")) != wanted:
        what = (
            f"is {resolved.config.precision}, but JAX is not in it; call "
            f'jax.config.update("jax_enable_x64", {wanted}) before making arrays'
        )
        raise ConfigError("precision", what)


def integrate_timed(
    experiment: Experiment,
    note: Note,
    meter: Meter | None,
    mesh: Mesh | None = None,
    checkpoints: Checkpoints | None = None,
    ends: Ends | None = None,
    so_far: SoFar | None = None,
) -> tuple[FlowSolution, Seconds, KinkError | None]:
    """Compile, then run: the two have nothing to do with each other and are timed apart. Where the
    flow's weights are sketched, a coarser companion is run after it and tells their error."""
    check_times(experiment.ts)
    problem, observables = experiment.problem, experiment.observables
    flow = Flow(problem, experiment.ts, observables, settled(problem, experiment.numerics))
    legs = Legs(note, meter, mesh, checkpoints, ends, so_far)
    solution = by_its_solvers(flow, legs)
    if is_automatic(flow.numerics) or SKETCH not in observables:
        return solution, legs.seconds, None
    note("running a coarser companion, for the error made at kinks")
    coarser = companion(flow)
    other, _ = legs.again(coarser.same_program, coarser.flow)
    return solution, legs.seconds, compare_flows(solution, other, coarser)
