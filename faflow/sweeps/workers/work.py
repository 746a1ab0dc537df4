"""The unit of work: some members of a sweep, run and made durable. Every engine calls this."""

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from ...setup.programs import in_precision
from ...store.result import CONFIG
from ..chunks import stack, write_chunk
from ..longer.ends import end_of, integrate_on
from ..member import Member, compute_batch, compute_member
from ..plan import SweepPlan
from ..progress import stored_plan
from .batches import measured_batch

KEPT = 10.0  # seconds that finished members wait for the others of their task, at most


class MemberTask(NamedTuple):
    """Members by number, all of one program, of the sweep in `folder`, `batch` at once; without
    members: to measure how many that should be."""

    folder: str
    program: int
    members: tuple[int, ...]
    batch: int = 1


class TaskReport(NamedTuple):
    """What became of a task: its members' statuses, and how long each took; or the batch."""

    task: MemberTask
    statuses: tuple[str, ...]
    seconds: tuple[float, ...]
    batch: int | None = None


def run_task(task: MemberTask) -> TaskReport:
    """Run the members of a task; they are durable when this returns. OSError if the disk is full.

    Members run one after the other, each by itself, or in the task's batches, which are the same
    however often a sweep was interrupted: a result does not depend on what shared its task.
    """
    folder, statuses, seconds = Path(task.folder), [], []
    plan = _plan(task.folder, (folder / CONFIG).stat().st_mtime_ns)
    waiting: dict[int, Member] = {}
    written = time.perf_counter()
    with in_precision(plan.precision):
        if not task.members:
            return TaskReport(task, (), (), measured_batch(plan, task.program))
        for numbers in _batches(task.members, task.batch):
            started = time.perf_counter()
            found = _compute(plan, task, numbers)
            waiting |= dict(zip(numbers, found, strict=True))
            statuses += [member.summary["status"] for member in found]
            now = time.perf_counter()
            seconds += [(now - started) / len(found)] * len(found)
            if now - written > KEPT:
                _write(folder, plan, waiting)
                written = now
        if waiting:
            _write(folder, plan, waiting)
    return TaskReport(task, tuple(statuses), tuple(seconds))


def _compute(plan: SweepPlan, task: MemberTask, numbers: Sequence[int]) -> list[Member]:
    trusted = task.program in plan.trusted
    resolved = [plan.resolve(number) for number in numbers]
    if task.batch == 1:
        ends, on = plan.section.end_states, end_of(Path(task.folder), numbers[0])
        integrate = partial(integrate_on, on) if ends else None
        found = [compute_member(resolved[0], plan.section, trusted, integrate)]
    else:
        found = compute_batch(resolved, plan.section, trusted)
    if any(member.variables for member in found):
        plan.trusted.add(task.program)
    return found


def _batches(members: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for i in range(0, len(members), size):
        yield members[i : i + size]


def _write(folder: Path, plan: SweepPlan, waiting: dict[int, Member]) -> None:
    for chunk in stack(waiting, {number: plan.coordinates(number) for number in waiting}):
        write_chunk(folder, chunk)
    waiting.clear()


@lru_cache(maxsize=4)
def _plan(folder: str, changed: int) -> SweepPlan:
    del changed
    return stored_plan(Path(folder))
