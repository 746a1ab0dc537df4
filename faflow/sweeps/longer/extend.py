"""A stored sweep goes on: its members' flows to a later t1, each from all that it knew at its end
where that is kept, else from its beginning."""

import dataclasses
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..._results import Outcome
from ...config.errors import ConfigError
from ...config.flow.section import FlowSection
from ...config.load import assign, copied
from ...runs.extend import TOLERANCE, check_later, check_sources, extend, history
from ...store.exchange import RESULT, SWEEP, put_in_place, real_path, temporary_for
from ...store.files import locked
from ...store.folder import stored_provenance
from ...store.result import CONFIG, Result
from ..figures import PENDING
from ..folder import full, sweep_digest
from ..plan import SweepPlan
from ..progress import stored_plan
from ..result import is_done, is_sweep, open_sweep
from ..sweep import run_sweep

COMPLETED = str(Outcome.COMPLETED)
T1, EXTENDED = "flow.t1", "flow.extended_at"


def extend_stored(folder: str | Path, t1: float, **options: Any) -> Result:
    """Go on with a stored run, as `runs.extend.extend`, or with a stored sweep (`out`; the other
    options as in `run_sweep`), up to `t1`."""
    if not is_sweep(folder):
        return extend(folder, t1, **options)
    return LongerSweep(folder, t1, options.pop("out", None)).run(**options)


class LongerSweep:
    """The sweep that a stored one becomes at a later t1: its `plan`, and `words` that have to be
    said before it runs.

    ConfigError for a folder that holds no sweep, one that has not run to its end, one of other
    sources, another JAX, or files that have changed; where all members ended before t1, where t1 is
    varied, or is not later.
    """

    def __init__(self, folder: str | Path, t1: float, out: str | Path | None = None):
        self.folder = Path(os.path.expanduser(folder))
        stored = open_sweep(self.folder)
        self.plan, self.words, self._stored = stored_plan(self.folder), [], stored
        since = self._since()
        self._there = t1 == since and out is None
        if self._there:
            return
        check_later(t1, since)
        if not is_done(self.folder):
            left = stored.summary["statuses"].get(PENDING, 0)
            what = f"has {left} members to run; first let it end: faflow sweep, with its config"
            raise ConfigError(str(self.folder), what)
        self._check_statuses(stored.summary["statuses"])
        provenance = stored_provenance(self.folder)
        check_sources(self.folder, provenance)
        if sweep_digest(self.plan).config != provenance.get("config"):
            what = "is of another config: files or code that it names have changed since; only "
            raise ConfigError(str(self.folder), f"{what}{T1} may. Change that back")
        kept = self.plan.section.end_states
        first = [self.plan.resolve(members[0]) for members in self.plan.programs]
        tolerance = kept and any(one.flow.solver == "auto" for one in first)
        if tolerance:
            self.words.append(f"members with solver = 'auto' extend to {TOLERANCE}")
        if not kept:
            what = "keeps no ends of its members ([sweep] end_states = true would)"
            self.words.append(f"{self.folder} {what}: they begin again at t = 0")
        self._history = history(provenance, since, tolerance)
        self.plan = self._longer(t1)
        self.out = _beside(self.folder) if out is None else Path(os.path.expanduser(out))

    def _check_statuses(self, statuses: Mapping[str, int]) -> None:
        """ConfigError if more time would change none of the members; a word where some."""
        ended = {status: count for status, count in statuses.items() if status != COMPLETED}
        told = ", ".join(f"{count} {status}" for status, count in ended.items())
        if ended and COMPLETED not in statuses:
            what = f"has no member that went on to its t1 ({told}); more time changes nothing"
            raise ConfigError(str(self.folder), f"{what}. Run it again with what is to change")
        if ended:
            self.words.append(f"more time changes nothing for members that ended before t1: {told}")

    def _since(self) -> float:
        varied = self.plan.grid.names()
        if found := [key for key in varied if key in ("flow", T1, EXTENDED)]:
            what = f"varies {found[0]}, so that its members have no one t1; run each by itself"
            raise ConfigError(str(self.folder), what)
        return float(self.plan.table["flow"]["t1"])

    def _longer(self, t1: float) -> SweepPlan:
        table = copied(self.plan.table)
        flow = FlowSection.model_construct(**table["flow"])
        assign(table, EXTENDED.split("."), list(flow.ends), "")
        assign(table, T1.split("."), t1, "")
        return SweepPlan(table, self.plan.base, self.plan.name)

    def run(self, replace: bool = False, **options: Any) -> Result:
        """The longer sweep, run, or gone on with, as `run_sweep` does; it takes the stored one's
        place unless it goes elsewhere."""
        _tidy(self.folder)
        if self._there:
            return self._stored
        result = run_sweep(
            self.plan, out=self.out, replace=replace, confirmed=True, earlier=self.folder,
            history=self._history, **options,
        )  # fmt: skip
        if self.out != _beside(self.folder) or not is_done(self.out):
            return result
        _take_place(self.out, self.folder)
        return dataclasses.replace(open_sweep(self.folder), fresh=True)


def _beside(folder: Path) -> Path:
    """Where a longer sweep is run that is to take a place."""
    folder = real_path(folder)
    return folder.with_name(f".{folder.name}.extended")


def _tidy(folder: Path) -> None:
    """Nothing is left beside a stored sweep of what took its place, by a process that was killed
    just then; a sweep to another t1 that is under way there stays."""
    beside = _beside(folder)
    if (beside / CONFIG).is_file() and is_done(folder):
        config = stored_provenance(folder).get("config")
        if config and stored_provenance(beside).get("config") == config:
            _remove(beside)


def _remove(sweep: Path) -> None:
    """A sweep's folder; what it holds can be told until all else of it is gone."""
    for path in sweep.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != CONFIG:
            path.unlink(missing_ok=True)
    shutil.rmtree(sweep, ignore_errors=True)


def _take_place(done: Path, folder: Path) -> None:
    """The sweep that is `done` in the place of the one in `folder`; its own place is gone then."""
    folder = real_path(folder)
    try:
        with locked(folder), temporary_for(folder) as temporary:
            for path in done.iterdir():
                if path.name in (*RESULT, *SWEEP) and path.is_dir():
                    shutil.copytree(path, temporary / path.name)
                elif path.name in (*RESULT, *SWEEP):
                    shutil.copyfile(path, temporary / path.name)
            put_in_place(temporary, folder, replace=True)
    except OSError as error:
        raise full(folder, error) from error
    _remove(done)
