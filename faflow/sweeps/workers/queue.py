"""Members that wait, handed out as tasks that hold some seconds of work each."""

from collections import deque
from collections.abc import Sequence, Set

from .work import MemberTask, TaskReport

FIRST = 3  # members of a program's first task, which tells how long the others take
SECONDS = 4.0  # of work that a task should hold
LEAST = 1.0  # and does, however few are left to share: each has to be written to the disk
MOST = 256  # members of a task


class Queue:
    """Members by the program that runs them, for `workers` workers.

    Members come in whole batches, of each program's own size; where that is None it is measured
    first. A program's first task is small and alone: it compiles, and tells the pace, which is the
    mean over all members that have run but the first.
    """

    def __init__(
        self,
        folder: str,
        programs: Sequence[Sequence[int]],
        workers: int,
        batches: Sequence[int | None],
    ):
        self._folder, self._workers, self._batches = folder, workers, list(batches)
        self._waiting = [deque(members) for members in programs]
        self._paces: list[float | None] = [None] * len(programs)
        self._ran = [(0.0, 0)] * len(programs)  # seconds and number of members, but the first
        self._starts = [0.0] * len(
            programs
        )  # seconds by which the first, which compiles, is longer
        self._begun: set[int] = set()

    def next(self, known: Set[int], elsewhere: Set[int]) -> MemberTask | None:
        """The next task, if there is one now, for a worker that knows some programs: of these, or
        of none that others know `elsewhere`, or of the longest of those if there is more left of it
        than it takes to begin."""
        ready = [
            program
            for program, members in enumerate(self._waiting)
            if members and (program not in self._begun or self._paces[program] is not None)
        ]
        own = [program for program in ready if program in known or program not in elsewhere]
        own.sort(key=lambda program: program not in known)
        others = sorted(set(ready) - set(own), key=self._seconds, reverse=True)
        worth = [program for program in others if self._seconds(program) > self._starts[program]]
        for program in (*own, *worth):
            return self._take(program)
        return None

    def _take(self, program: int) -> MemberTask:
        members, pace, count = self._waiting[program], self._paces[program], FIRST
        batch = self._batches[program]
        self._begun.add(program)
        if batch is None:
            return MemberTask(self._folder, program, ())
        if pace is not None:
            share = -(-len(members) // (2 * self._workers))
            pace = max(pace, 1e-9)
            share = max(share, round(LEAST / pace))
            count = max(1, min(MOST, share, round(SECONDS / pace)))
        count = -(-count // batch) * batch  # whole batches, always the same
        taken = tuple(members.popleft() for _ in range(min(count, len(members))))
        return MemberTask(self._folder, program, taken, batch)

    def _seconds(self, program: int) -> float:
        """Of work that waits."""
        return len(self._waiting[program]) * (self._paces[program] or 0.0)

    def learn(self, report: TaskReport) -> None:
        """What a finished task tells of its program: the pace, or the batch."""
        if report.batch is not None:
            self._batches[report.task.program] = report.batch
            self._begun.discard(report.task.program)
            return
        program, seconds = report.task.program, list(report.seconds)
        if self._paces[program] is None:
            first = seconds.pop(0)
            seconds = seconds or [first]
            self._starts[program] = max(0.0, first - sum(seconds) / len(seconds))
        total, count = self._ran[program]
        self._ran[program] = total, count = total + sum(seconds), count + len(seconds)
        self._paces[program] = total / count

    def without(self, task: MemberTask) -> None:
        """A task came to nothing, so that another one of its program has to tell the pace. Batches
        that kill their worker are not measured again: members run one by one."""
        if not task.members:
            self._batches[task.program] = 1
        self._begun.discard(task.program)

    def seconds_left(self) -> float | None:
        """The work that waits, shared by all workers; None while a program's pace is not known."""
        left = 0.0
        for program, (members, pace) in enumerate(zip(self._waiting, self._paces, strict=True)):
            if members and pace is None:
                return None
            left += self._seconds(program)
        return left / self._workers
