"""The driver's loop: tasks to workers, reports back, and what happens when a worker dies."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait

from ...leftovers import undone_at_the_end
from .queue import Queue
from .work import MemberTask, TaskReport, run_task

TRIES = 3  # of a member whose worker dies every time

Start = Callable[[], Executor]


class _Place:
    """An engine, what is under way there, and the programs that it has compiled."""

    def __init__(self, start: Start):
        self.start = start
        self.engine = start()
        self.flying: dict[Future[TaskReport], MemberTask] = {}
        self.known: set[int] = set()

    def submit(self, task: MemberTask) -> None:
        try:
            future = self.engine.submit(run_task, task)
        except BrokenExecutor as error:  # a worker that died idle: as if it had died of the task
            future = Future()
            future.set_exception(error)
        self.flying[future] = task
        self.known.add(task.program)

    def restart(self) -> list[MemberTask]:
        """A fresh engine; the tasks that were under way came to nothing."""
        lost = list(self.flying.values())
        self.close()
        self.engine, self.flying, self.known = self.start(), {}, set()
        return lost

    def close(self) -> None:
        self.engine.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """At once: what is under way there comes to nothing."""
        getattr(self.engine, "stop", self.close)()


class Driver:
    """Runs a queue's tasks on engines that `starts` make, `ahead` at a time on each.

    When an engine breaks, what was under way there is tried again, one member at a time and with
    nothing beside it, so that the one that kills its worker is found; after TRIES times it is
    `lost`.
    """

    def __init__(self, starts: Sequence[Start], ahead: int):
        self._starts, self._ahead = starts, ahead
        self._suspects: deque[MemberTask] = deque()
        self._tries: Counter[int] = Counter()
        self.lost: list[int] = []

    def run(self, queue: Queue) -> Iterator[TaskReport]:
        """Reports as they come; their members are durable. What a task raises is raised."""
        places: list[_Place] = []
        with undone_at_the_end(lambda: _stop(places)):
            try:
                places += map(_Place, self._starts)
                while True:
                    self._launch(places, queue)
                    ready, _ = wait(_flying(places), return_when=FIRST_COMPLETED)
                    if not ready:
                        break
                    for place in places:
                        yield from self._land(place, ready, queue)
            except KeyboardInterrupt:
                _stop(places)
                raise
            finally:
                for place in places:
                    place.close()

    def _land(
        self, place: _Place, ready: set[Future[TaskReport]], queue: Queue
    ) -> Iterator[TaskReport]:
        broken = []
        for future in ready & place.flying.keys():
            task = place.flying.pop(future)
            try:
                report = future.result()
            except BrokenExecutor:
                broken.append(task)
                continue
            queue.learn(report)
            yield report
        if broken:
            broken += place.restart()
            self._suspect(broken)
            for task in broken:
                queue.without(task)

    def _launch(self, places: list[_Place], queue: Queue) -> None:
        if self._suspects:
            if not _flying(places):
                places[0].submit(self._suspects.popleft())
            return
        full: set[int] = set()
        while len(full) < len(places):  # the idlest first
            place = min((p for p in places if id(p) not in full), key=lambda p: len(p.flying))
            elsewhere = set().union(*(p.known for p in places if p is not place))
            if len(place.flying) < self._ahead and (task := queue.next(place.known, elsewhere)):
                place.submit(task)
            else:
                full.add(id(place))

    def _suspect(self, tasks: list[MemberTask]) -> None:
        alone = sum(len(task.members) for task in tasks) == 1
        for task in tasks:
            for member in task.members:
                self._tries[member] += alone  # beside others it may be innocent
                if self._tries[member] >= TRIES:
                    self.lost.append(member)
                else:
                    self._suspects.append(task._replace(members=(member,)))


def _stop(places: Sequence[_Place]) -> None:
    for place in places:
        place.stop()


def _flying(places: Sequence[_Place]) -> list[Future[TaskReport]]:
    return [future for place in places for future in place.flying]
