"""Run a sweep, or go on with one that was interrupted; open a stored one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..._results import Outcome
from ...leftovers import undone_at_the_end
from ..errors import ConfigError
from ..exchange import remove
from ..expect import parse_bounds
from ..files import alone, remove_temporaries, replace_text, sync
from ..lazily import xr
from ..run import Result, open_result
from ..store import ROOT, SUMMARY, complete, read_summary, summary_text
from ..summary import SCHEMA, environment
from .batches import forget_batches, store_batches, stored_batches
from .chunks import CHUNK, CHUNKS, Chunk, read_chunks
from .clusters import Crew, engine
from .distribution import Members
from .drive import Driver
from .engines import cores, one_thread_each
from .figures import PENDING, variable_name
from .folder import check_names, full, is_done, open_folder, stored_plan, stored_table
from .gather import attributes, check_places, gather
from .missing import LOST, REFUSED, refusals
from .plan import ASK, Plan
from .queue import Queue
from .records import check_zarr, read_records, write_records

_UNLOCKED = "use another --out, or --no-lock if nobody else is at work there"
_EARLY = {str(outcome) for outcome in Outcome if outcome.early} | {REFUSED, LOST}


class Progress(NamedTuple):
    """Members `done` of `total`, `failed` among them; seconds left (None: not known yet)."""

    done: int
    failed: int
    total: int
    left: float | None


class Sweep(NamedTuple):
    """A sweep's summary and data set; `fresh`: computed now, at least in part."""

    summary: dict[str, Any]
    records: xr.DataTree
    folder: Path
    fresh: bool

    @property
    def exit_code(self) -> int:
        """0; 1 if a member breaks a bound of [expect]; 3 if one ended early or has not run."""
        if any(status in (*_EARLY, PENDING) for status in self.summary["statuses"]):
            return 3
        return 0 if all(verdict["ok"] for verdict in self.summary.get("expect", {}).values()) else 1


Tell = Callable[[Progress], None]


def run_sweep(
    plan: Plan,
    *,
    out: str | Path | None = None,
    replace: bool = False,
    repair: bool = False,
    workers: int | None = None,
    confirmed: bool = False,
    on: str = "local",
    options: Mapping[str, Any] | None = None,
    lock: bool = True,
    tell: Tell = lambda progress: None,
) -> Sweep:
    """Run what has not run yet of a sweep, and gather it.

    `on`: where (`clusters.engine`, with its `options`); `workers`: how many at a time (as many as
    there are cores, unless given; 1: this process and no other). Interrupted at any moment, the
    same call goes on with the members that are not durable yet. `repair`: members of damaged chunks
    run again. `lock`: False where the file system has none; then nobody else may be at work in the
    folder. ConfigError for bad input, a changed config, or a folder where another process is at
    work.
    """
    if plan.grid.size > ASK and not confirmed:
        what = f"has {plan.grid.size} members, more than {ASK}; confirm with --yes, or lower it"
        raise ConfigError("sweep", what)
    check_zarr(plan.section.zarr)
    plan.check()
    folder = ROOT / plan.name if out is None else Path(os.path.expanduser(out))
    crew = engine(on, folder, workers, options or {})
    open_folder(plan, folder, replace)
    tidy = partial(remove_temporaries, folder / CHUNKS, CHUNK)  # of workers that were killed
    with alone(folder, _UNLOCKED) if lock else nullcontext(), undone_at_the_end(tidy):
        if is_done(folder):
            return open_sweep(folder)
        plan = stored_plan(folder)  # the workers' own: what numbers members also labels them
        try:
            lost = _run(plan, folder, repair, workers or cores(), crew, tell)
            return _finish(plan, folder, lost)
        except OSError as error:
            raise full(folder, error) from error
        except KeyboardInterrupt:
            tidy()
            raise


def open_sweep(folder: str | Path) -> Sweep:
    """A stored sweep, as far as it has run; no code is run that its config names. ConfigError if
    the folder holds none, or one whose members an older faflow mixed up."""
    folder = Path(os.path.expanduser(folder))
    complete(folder)
    provenance = stored_table(folder).get("provenance", {})
    if is_done(folder):
        records = read_records(folder)
        check_names(folder, [str(dim) for dim in records["figures"]["status"].dims])
        return Sweep(read_summary(folder), records, folder, fresh=False)
    plan = stored_plan(folder)
    tree = gather(plan, read_chunks(folder), attributes(plan, provenance))
    return Sweep(_summary(plan, tree), tree, folder, fresh=False)


def open_stored(folder: str | Path) -> Result | Sweep:
    """What a folder holds, of one run or of a sweep. ConfigError if it is neither."""
    return open_sweep(folder) if is_sweep(folder) else open_result(folder)


def _run(
    plan: Plan,
    folder: Path,
    repair: bool,
    workers: int,
    crew: Crew,
    tell: Tell,
) -> list[int]:
    """Run all members that no chunk holds; those that could not be run are returned."""
    statuses: dict[int, str] = {}
    for chunk in read_chunks(folder, repair):
        check_places(plan.grid, chunk)
        told = zip(chunk.members, chunk.summaries, strict=True)
        statuses |= {member: summary["status"] for member, summary in told}
    known, given = stored_batches(folder), plan.section.batch
    batches = [known.get(i) if given == "auto" else given for i in range(len(plan.programs))]
    left = [_left(*each, statuses) for each in zip(plan.programs, batches, strict=True)]
    queue = Queue(str(folder.resolve()), left, workers, batches)
    driver = Driver(crew.starts, crew.ahead)
    tell(_progress(plan, statuses, queue))
    with one_thread_each():
        for report in driver.run(queue):
            if report.batch is not None:
                store_batches(folder, known := {**known, report.task.program: report.batch})
                continue
            statuses |= dict(zip(report.task.members, report.statuses, strict=True))
            tell(_progress(plan, statuses, queue, len(driver.lost)))
    if driver.lost:
        tell(_progress(plan, statuses, queue, len(driver.lost)))
    return driver.lost


def _left(members: Sequence[int], size: int | None, statuses: Mapping[int, str]) -> list[int]:
    """Members that have to run: all of a batch that is not complete."""
    batch = size or 1  # not measured yet: none has run
    batches = (members[i : i + batch] for i in range(0, len(members), batch))
    return [m for batch in batches if not all(n in statuses for n in batch) for m in batch]


def _progress(plan: Plan, statuses: dict[int, str], queue: Queue, lost: int = 0) -> Progress:
    failed = lost + sum(status in _EARLY for status in statuses.values())
    return Progress(len(statuses), failed, plan.grid.size, queue.seconds_left())


def _finish(plan: Plan, folder: Path, lost: list[int]) -> Sweep:
    """The data set on disk; then the chunks, which it holds all of, are gone."""
    provenance = stored_table(folder).get("provenance", environment())
    places = [plan.grid.values(member) for member in lost]
    without = Chunk(lost, places, [{"status": LOST}] * len(lost), {}, {})
    tree = gather(plan, [*read_chunks(folder), without], attributes(plan, provenance))
    summary = _summary(plan, tree)
    if not lost:
        write_records(tree, folder, plan.section.zarr)
        replace_text(folder / SUMMARY, summary_text(summary))
        sync(folder)
        with suppress(OSError):
            remove(folder, CHUNKS)
        forget_batches(folder)
    return Sweep(summary, tree, folder, fresh=True)


def _summary(plan: Plan, tree: xr.DataTree) -> dict[str, Any]:
    figures = tree["figures"].to_dataset()
    statuses = Counter(str(status) for status in figures["status"].values.ravel())
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "sweep",
        "name": plan.name,
        "members": plan.grid.size,
        "programs": len(plan.programs),
        "axes": {axis.name: axis.size for axis in plan.grid.axes},
        "statuses": dict(sorted(statuses.items())),
    }
    if told := refusals(Members(tree)):
        summary["refused"] = [refusal._asdict() for refusal in told]
    bounds = parse_bounds(plan.table.get("expect", {}))
    verdicts = {}
    for path, bound in bounds.items():
        name = variable_name(f"expect.{path}.ok")
        kept = figures[name].values == 1 if name in figures else None
        broken = plan.grid.size if kept is None else int((~kept).sum())
        verdicts[path] = {"bound": bound, "broken": broken, "ok": broken == 0}
    if verdicts:
        summary["expect"] = verdicts
    return summary


def is_sweep(folder: str | Path) -> bool:
    """Whether a folder holds a sweep (rather than the result of one run)."""
    try:
        folder = Path(os.path.expanduser(folder))
        complete(folder)
        stored_table(folder)
    except ConfigError:
        return False
    return True
