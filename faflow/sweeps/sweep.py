"""Run a sweep, or go on with one that was interrupted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..config.errors import ConfigError
from ..leftovers import undone_at_the_end
from ..measures.summary import environment
from ..store.exchange import ENDS, remove
from ..store.files import locked, remove_temporaries, replace_text, sync
from ..store.folder import ROOT, summary_text
from ..store.result import SUMMARY, Result
from .chunks import CHUNK, CHUNKS, Chunk, read_chunks
from .folder import full, open_folder
from .gaps import EARLY, LOST
from .gather import attributes, check_places, gather
from .longer.ends import NAME, take_over
from .plan import ASK, SweepPlan
from .progress import stored_plan, summary_of
from .records import check_zarr, write_records
from .result import is_done, open_sweep, stored_table
from .workers.batches import forget_batches, store_batches, stored_batches
from .workers.clusters import Crew, engine
from .workers.drive import Driver
from .workers.engines import cores, one_thread_each
from .workers.queue import Queue

_UNLOCKED = "use another --out, or --no-lock if nobody else is at work there"


class Progress(NamedTuple):
    """Members `done` of `total`, `failed` among them; seconds left (None: not known yet)."""

    done: int
    failed: int
    total: int
    left: float | None


Tell = Callable[[Progress], None]


def run_sweep(
    plan: SweepPlan,
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
    earlier: Path | None = None,
    history: Sequence[Mapping[str, Any]] = (),
) -> Result:
    """Run what has not run yet of a sweep, and gather it.

    `on`: where (`clusters.engine`, with its `options`); `workers`: how many at a time (as many as
    there are cores, unless given; 1: this process and no other). Interrupted at any moment, the
    same call goes on with the members that are not durable yet. `repair`: members of damaged chunks
    run again. `lock`: False where the file system has none; then nobody else may be at work in the
    folder. `earlier`: the folder of a shorter sweep whose members these go on from, with its
    `history` (`sweeps.extend`). ConfigError for bad input, a changed config, or a folder where
    another process is at work.
    """
    if plan.grid.size > ASK and not confirmed:
        what = f"has {plan.grid.size} members, more than {ASK}; confirm with --yes, or lower it"
        raise ConfigError("sweep", what)
    check_zarr(plan.section.zarr)
    plan.check()
    folder = ROOT / plan.name if out is None else Path(os.path.expanduser(out))
    crew = engine(on, folder, workers, options or {})
    open_folder(plan, folder, replace, history)
    tidy = partial(_tidy, folder)
    with locked(folder, _UNLOCKED) if lock else nullcontext(), undone_at_the_end(tidy):
        if is_done(folder):
            return open_sweep(folder)
        if earlier is not None and plan.section.end_states:
            take_over(earlier, folder)
        plan = stored_plan(folder)  # the workers' own: what numbers members also labels them
        try:
            lost = _run(plan, folder, repair, workers or cores(), crew, tell)
            return _finish(plan, folder, lost)
        except OSError as error:
            raise full(folder, error) from error
        except KeyboardInterrupt:
            tidy()
            raise


def _tidy(folder: Path) -> None:
    """What workers that were killed had begun to write is gone."""
    remove_temporaries(folder / CHUNKS, CHUNK)
    remove_temporaries(folder / ENDS, NAME)


def _run(
    plan: SweepPlan,
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
    known, given = stored_batches(folder), plan.section.batches
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


def _progress(plan: SweepPlan, statuses: dict[int, str], queue: Queue, lost: int = 0) -> Progress:
    failed = lost + sum(status in EARLY for status in statuses.values())
    return Progress(len(statuses), failed, plan.grid.size, queue.seconds_left())


def _finish(plan: SweepPlan, folder: Path, lost: list[int]) -> Result:
    """The data set on disk; then the chunks, which it holds all of, are gone."""
    provenance = stored_table(folder).get("provenance", environment())
    places = [plan.grid.values(member) for member in lost]
    without = Chunk(lost, places, [{"status": LOST}] * len(lost), {}, {})
    tree = gather(plan, [*read_chunks(folder), without], attributes(plan, provenance))
    summary = summary_of(plan, tree)
    if not lost:
        write_records(tree, folder, plan.section.zarr)
        replace_text(folder / SUMMARY, summary_text(summary))
        sync(folder)
        with suppress(OSError):
            remove(folder, CHUNKS)
        _tidy(folder)
        forget_batches(folder)
    return Result(summary, lambda: tree, folder, fresh=True)
