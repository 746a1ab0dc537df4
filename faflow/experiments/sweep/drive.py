"""The driver's loop: tasks to workers, reports back, and what happens when a worker dies."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait

from .queue import Queue
from .work import Report, Task, run_task

TRIES = 3  # of a member whose worker dies every time


class Driver:
    """Runs a queue's tasks on engines that `start` makes, `ahead` at a time.

    When an engine breaks, what was under way is tried again, one member at a time and with nothing
    beside it, so that the one that kills its worker is found; after TRIES times it is `lost`.
    """

    def __init__(self, start: Callable[[], Executor], ahead: int):
        self._start, self._ahead = start, ahead
        self._suspects: deque[Task] = deque()
        self._tries: Counter[int] = Counter()
        self.lost: list[int] = []

    def run(self, queue: Queue) -> Iterator[Report]:
        """Reports as they come; their members are durable. What a task raises is raised."""
        engine = self._start()
        flying: dict[Future[Report], Task] = {}
        try:
            while True:
                self._launch(engine, queue, flying)
                if not flying:
                    return
                ready, _ = wait(flying, return_when=FIRST_COMPLETED)
                broken = []
                for future in ready:
                    task = flying.pop(future)
                    try:
                        report = future.result()
                    except BrokenExecutor:
                        broken.append(task)
                        continue
                    queue.learn(report)
                    yield report
                if broken:
                    broken += flying.values()
                    self._suspect(broken)
                    for task in broken:
                        queue.without(task)
                    flying.clear()
                    engine.shutdown(wait=False, cancel_futures=True)
                    engine = self._start()
        finally:
            engine.shutdown(wait=False, cancel_futures=True)

    def _launch(self, engine: Executor, queue: Queue, flying: dict[Future[Report], Task]) -> None:
        if self._suspects:
            if not flying:
                task = self._suspects.popleft()
                flying[engine.submit(run_task, task)] = task
            return
        while len(flying) < self._ahead and (task := queue.next()) is not None:
            flying[engine.submit(run_task, task)] = task

    def _suspect(self, tasks: list[Task]) -> None:
        alone = sum(len(task.members) for task in tasks) == 1
        for task in tasks:
            for member in task.members:
                self._tries[member] += alone  # beside others it may be innocent
                if self._tries[member] >= TRIES:
                    self.lost.append(member)
                else:
                    self._suspects.append(task._replace(members=(member,)))
