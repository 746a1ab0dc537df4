"""Which worker is given what: programs stay where they are compiled, and nobody waits for long."""

from collections import defaultdict
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

import pytest

from faflow.sweeps.workers import drive
from faflow.sweeps.workers.queue import FIRST, Queue
from faflow.sweeps.workers.work import MemberTask, TaskReport

COMPILE, EACH = 10.0, 0.5  # seconds of a program's first member, and of the others


class Clerk(Executor):
    """Notes what it is given, does it at once, and says what it would have taken."""

    def __init__(self, kills: frozenset[int] = frozenset()):
        self.tasks: list[MemberTask] = []
        self.kills = kills

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        (task,), future = args, Future()
        self.tasks.append(task)
        seconds = [EACH] * len(task.members)
        if task.program not in {earlier.program for earlier in self.tasks[:-1]}:
            seconds[0] = COMPILE
        if self.kills & set(task.members):
            future.set_exception(BrokenExecutor())
        else:
            future.set_result(TaskReport(task, ("completed",) * len(task.members), tuple(seconds)))
        return future


def drained(programs: list[list[int]], workers: int = 2, ahead: int = 2) -> list[Clerk]:
    clerks = [Clerk() for _ in range(workers)]
    queue = Queue("folder", programs, workers, [1] * len(programs))
    reports = list(drive.Driver([lambda c=c: c for c in clerks], ahead).run(queue))
    ran = sorted(member for report in reports for member in report.task.members)
    assert ran == sorted(member for members in programs for member in members)  # each once
    return clerks


def members(*sizes: int) -> list[list[int]]:
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [list(range(end - size, end)) for end, size in zip(ends, sizes, strict=True)]


def test_programs_stay_where_they_are_compiled() -> None:
    where = defaultdict(set)
    for i, clerk in enumerate(drained(members(20, 20, 20, 20))):
        assert {task.program for task in clerk.tasks}
        for task in clerk.tasks:
            where[task.program].add(i)
    assert all(len(places) == 1 for places in where.values()), where


@pytest.mark.parametrize(("size", "helped"), [(200, True), (20, False)])
def test_a_program_is_shared_if_much_is_left_of_it(size: int, helped: bool) -> None:
    """20 members are 10 s, no more than it takes to begin; of 200 the other takes a share."""
    clerks = drained(members(size))
    assert all(clerk.tasks for clerk in clerks) == helped


def test_a_program_s_first_task_is_small_and_alone() -> None:
    clerk, queue = Clerk(), Queue("folder", members(100), 1, [1])
    driver = drive.Driver([lambda: clerk], ahead=4)
    list(driver.run(queue))
    assert len(clerk.tasks[0].members) == FIRST
    assert len(clerk.tasks[1].members) == 8  # 4 s of work at 0.5 s each


def test_who_kills_its_worker_is_found_and_the_others_run() -> None:
    made: list[Clerk] = []

    def start() -> Clerk:
        made.append(Clerk(kills=frozenset({7})))
        return made[-1]

    driver = drive.Driver([start, start], ahead=2)
    reports = list(driver.run(Queue("folder", members(20, 20), 2, [1, 1])))
    ran = sorted(member for report in reports for member in report.task.members)
    assert ran == sorted(set(range(40)) - {7})
    assert driver.lost == [7]


def test_one_fast_member_is_no_pace() -> None:
    """Of 1000 members of 2 s one of the first, refused at once, says nothing of the others."""
    queue = Queue("folder", members(1000), 16, [1])
    first = queue.next(frozenset(), frozenset())
    assert first is not None
    queue.learn(TaskReport(first, ("refused",) * 3, (12.0, 0.01, 2.0)))
    assert queue.next(frozenset(), frozenset({0})) is not None  # others help


def test_a_worker_that_died_idle_is_replaced() -> None:
    class Dead(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise BrokenExecutor("killed while it waited")

    clerk = Clerk()
    engines = iter([Dead(), clerk])
    driver = drive.Driver([lambda: next(engines)], ahead=1)
    reports = list(driver.run(Queue("folder", members(10), 1, [1])))
    assert sum(len(report.task.members) for report in reports) == 10 and not driver.lost


def test_a_batch_is_measured_first_and_not_where_that_kills() -> None:
    queue = Queue("folder", members(100, 5), 1, [None, 4])
    measure = queue.next(frozenset(), frozenset())
    assert measure is not None and measure.members == ()
    other = queue.next(frozenset(), frozenset())
    assert other is not None and (other.program, len(other.members)) == (1, 4)  # meanwhile
    queue.learn(TaskReport(measure, (), (), 8))
    first = queue.next(frozenset(), frozenset({1}))
    assert first is not None and (first.program, len(first.members), first.batch) == (0, 8, 8)
    deadly = Queue("folder", members(100), 1, [None])
    died = deadly.next(frozenset(), frozenset())
    assert died is not None
    deadly.without(died)
    after = deadly.next(frozenset(), frozenset())
    assert after is not None and (len(after.members), after.batch) == (FIRST, 1)
