"""The unit of work: some members of a sweep, run and made durable. Every engine calls this."""

import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..programs import in_precision
from ..store import CONFIG
from .chunks import stack, write_chunk
from .folder import stored_table
from .member import Member, compute_member
from .plan import Plan

KEPT = 10.0  # seconds that finished members wait for the others of their task, at most


class Task(NamedTuple):
    """Members by number, all of one program, of the sweep in `folder`."""

    folder: str
    program: int
    members: tuple[int, ...]


class Report(NamedTuple):
    """What became of a task: its members' statuses, and how long each took."""

    task: Task
    statuses: tuple[str, ...]
    seconds: tuple[float, ...]


def run_task(task: Task) -> Report:
    """Run the members of a task; they are durable when this returns. OSError if the disk is full.

    Members run one after the other, each by itself, so that a result does not depend on which
    members it shared a task with.
    """
    folder, statuses, seconds = Path(task.folder), [], []
    plan = _stored_plan(task.folder, (folder / CONFIG).stat().st_mtime_ns)
    waiting: dict[int, Member] = {}
    written = time.perf_counter()
    with in_precision(plan.precision):
        for number in task.members:
            started = time.perf_counter()
            trusted = task.program in plan.trusted
            member = compute_member(plan.resolve(number), plan.section.weights, trusted)
            if member.variables:
                plan.trusted.add(task.program)
            waiting[number] = member
            statuses.append(member.summary["status"])
            now = time.perf_counter()
            seconds.append(now - started)
            if now - written > KEPT:
                _write(folder, waiting)
                written = now
        if waiting:
            _write(folder, waiting)
    return Report(task, tuple(statuses), tuple(seconds))


def _write(folder: Path, waiting: dict[int, Member]) -> None:
    write_chunk(folder, stack(list(waiting), list(waiting.values())))
    waiting.clear()


@lru_cache(maxsize=4)
def _stored_plan(folder: str, changed: int) -> Plan:
    del changed
    table = stored_table(Path(folder))
    table.pop("provenance", None)
    return Plan(table, Path(folder), table["name"])
