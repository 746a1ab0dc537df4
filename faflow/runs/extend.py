"""A stored run goes on: the same flow to a later t1, from all that it knew at its end."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._results import Outcome
from ..config.errors import ConfigError
from ..config.resolve import Resolved, resolve_config, resolve_path
from ..flow import Meter
from ..measures.measure import Note
from ..measures.summary import environment
from ..store.digest import digest
from ..store.exchange import END
from ..store.folder import stored_config, stored_provenance
from ..store.result import CONFIG, Result, open_result
from . import processes
from .checkpoint import EVERY, discard
from .ends import FOR, Arrays, Earlier, about_of, read_ends
from .run import run

TOLERANCE = "what one flow to its t1 comes to, to tolerance: solver = 'auto' looks ahead to t1"


def extend(
    folder: str | Path,
    t1: float,
    *,
    out: str | Path | None = None,
    replace: bool = False,
    checkpoint: float | None = EVERY,
    end_state: bool = True,
    note: Note = lambda text: None,
    tell: Note = lambda text: None,
    meter: Meter | None = None,
) -> Result:
    """Go on with a stored run up to `t1`; what comes of it takes its place, or goes to `out`.

    The result is that of its own config (`flow.extended_at` says where the flow had ended), in
    every bit as one flow makes it, but for `solver = "auto"`, whose choice depends on t1: then to
    tolerance, which `tell` hears. Where the longer flow has too many saves to keep a state for
    each, records of the shorter one are equal to rounding. What is measured beside a flow
    ([discrete], [simulate]) begins anew, and so does a flow whose equations are made for its whole
    time. `note`, `meter`,
    `checkpoint`, `end_state`: as in `run`. ConfigError for a folder that holds no run, a damaged
    one, one of other sources, another JAX, or files that have changed; for a flow that did not
    reach its t1, one of which no end is kept, and a t1 that is not later.
    """
    stored = open_result(folder)
    assert stored.folder is not None
    place = stored.folder
    resolved = resolve_path(place / CONFIG)
    since = resolved.flow.t1
    if out is None and processes.is_first():
        discard(place, stored_provenance(place).get("config", ""))
    if t1 == since and out is None:
        return stored
    check_later(t1, since)
    check_sources(place, stored_provenance(place))
    _check_config(resolved, place)
    _check_status(stored, resolved)
    legs = _legs(place)
    tolerance = resolved.flow.solver == "auto"
    if tolerance:
        tell(f"extends to {TOLERANCE}")
    earlier = Earlier(place, legs, history(stored_provenance(place), since, tolerance))
    note(f"going on from t = {since:g}")
    return run(
        longer(resolved, t1), out=place if out is None else out, replace=replace,
        checkpoint=checkpoint, end_state=end_state, earlier=earlier, note=note, tell=tell,
        meter=meter,
    )  # fmt: skip


def precision_of(folder: str | Path) -> str:
    """What JAX has to be in for a stored run to go on."""
    found = stored_config(Path(os.path.expanduser(folder))).get("precision")
    return "float32" if found == "float32" else "float64"


def longer(resolved: Resolved, t1: float) -> Resolved:
    """The config of a flow that goes on to t1. ConfigError if it can't."""
    flow = resolved.config.flow
    section = flow.model_copy(update={"t1": t1, "extended_at": flow.ends})
    config = resolved.config.model_copy(update={"flow": section})
    return resolve_config(config, resolved.base)


def history(provenance: Mapping[str, Any], t1: float, tolerance: bool) -> list[Mapping[str, Any]]:
    """What a flow goes on from: the flows before, and what made the last one, up to t1."""
    made = {key: provenance[key] for key in ("faflow", "jax", "config") if key in provenance}
    exact = "tolerance" if tolerance else "bits"
    return [*provenance.get("extended", []), {"t1": t1, "equal": exact, **made}]


def check_later(t1: float, since: float) -> None:
    """ConfigError unless a flow that has come to `since` has some way to go."""
    if not math.isfinite(t1):
        raise ConfigError("--t1", f"is {t1}; give the time up to which the flow is to go on")
    if t1 <= since:
        what = f"is {t1:g}, but the flow has come to t = {since:g} already; give a later time"
        raise ConfigError("--t1", what)


def check_sources(folder: Path, provenance: Mapping[str, Any]) -> None:
    """ConfigError if something other than this faflow, on this JAX, computed what is stored."""
    from ..store.digest import sources

    now = {**environment(), "source": sources()}
    for name, what in FOR.items():
        if name in now and provenance.get(name) != now[name]:
            again = f"faflow run {folder / CONFIG} --set flow.t1=… --out …"
            raise ConfigError(str(folder), f"is of another {what}; run it again: {again}")


def _check_config(resolved: Resolved, folder: Path) -> None:
    """ConfigError if files, or code of the user's, are not those that the run had."""
    about = digest(resolved)
    if about.config == stored_provenance(folder).get("config"):
        return
    read = [f"{key} ({path.name})" for key, path in resolved.files().items()]
    read += [f"{key} ({one.kind})" for key, one in resolved.suspects.items() if one.foreign]
    listed = ", ".join(read) or CONFIG
    what = f"is of another config: {listed} has changed since; only flow.t1 may"
    raise ConfigError(str(folder), f"{what}. Change that back, or run it again")


def _check_status(stored: Result, resolved: Resolved) -> None:
    """ConfigError if more time would change nothing, or if there are no steps left for it."""
    outcome = next(one for one in Outcome if str(one) == stored.status)
    solver, most = stored.summary["solver"], resolved.flow.max_steps
    if outcome != Outcome.COMPLETED:
        t = stored.summary["t_final"]
        what = f"ended at t = {t:.6g}: it {outcome.message}; more time changes nothing"
        raise ConfigError(str(stored.folder), f"{what}. Run it again with what is to change")
    if solver["steps"] + solver["rejected"] >= most:
        what = f"is {most}, and the flow has used them up; run it again with more"
        raise ConfigError("flow.max_steps", what)


def _legs(folder: Path) -> list[Arrays]:
    """The ends of a run's legs. ConfigError if there are none, or of another run."""
    path = folder / END
    if not path.is_file():
        what = f"has no {END} (--no-end-state, several devices, or an older faflow)"
        again = f"faflow run {folder / CONFIG} --set flow.t1=…"
        raise ConfigError(str(folder), f"{what}, so that it can't go on; {again}")
    legs = read_ends(path)
    if any(about_of(leg)["about"]["config"] != stored_provenance(folder)["config"] for leg in legs):
        raise ConfigError(str(path), "is of another run; run the flow again")
    return legs
