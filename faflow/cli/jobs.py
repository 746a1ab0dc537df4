"""Several configs at a time, each in a worker process of this machine, the longest first.

Workers are those of sweeps: one thread and one core each, and deaf to Ctrl-C, which is this
process's. What a worker has to say comes back with its result, so that every config is one block.
"""

import io
import itertools
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ThreadPoolExecutor, wait
from contextlib import redirect_stderr
from typing import Any, NamedTuple

from ..durations import last_time
from ..leftovers import undone_at_the_end
from .interruption import interruptible
from .printing import counter, in_words, tell
from .running import ALL, Asked, Ran, resolve_asked, run_one
from .verdict import unless_told

PATIENCE = 1.5  # seconds in which a worker undoes what is half-made
LOOK = 0.5  # seconds between two looks at the clock of the bar


class Done(NamedTuple):
    """A config that has run, by its number in the list: what came of it, None if it could not be
    run, and what was told on stderr."""

    number: int
    ran: Ran | None
    told: str


class Job(NamedTuple):
    """Configs that one worker runs in turn: those whose results go to the same folder."""

    numbers: tuple[int, ...]
    configs: tuple[str, ...]
    names: tuple[str, ...]


def one_by_one(resolved: Sequence[Any], asked: Asked) -> Iterator[Done]:
    """Run configs in this process, and give back each as it is done."""
    for number, one in enumerate(resolved):
        yield Done(number, unless_told(lambda r=one: run_one(r, asked, tell)), "")


def run_jobs(
    configs: Sequence[str], resolved: Sequence[Any], asked: Asked, jobs: int
) -> Iterator[Done]:
    """Run configs, `jobs` at a time, and give back each as it is done."""
    from ..sweeps.workers.engines import Worker, one_thread_each, process

    waiting = deque(_in_order(configs, resolved, asked))
    workers: list[Worker] = []
    done = 0
    flying: dict[Future[list[Done]], tuple[Worker, Job]] = {}

    def stop() -> None:
        with ThreadPoolExecutor() as all_at_once:
            list(all_at_once.map(lambda worker: worker.stop(PATIENCE), workers))

    def begin(worker: Worker) -> None:
        job = waiting.popleft()
        flying[worker.submit(_work, job, asked)] = (worker, job)

    with undone_at_the_end(stop), counter(len(configs), "configs") as show, one_thread_each():
        try:
            for number in range(min(jobs, len(waiting))):
                workers.append(process(number))
                begin(workers[-1])
            while flying:
                running = [_told(name) for _, job in flying.values() for name in job.names]
                show(done, _in_turn(running))
                ready, _ = wait(flying, timeout=LOOK, return_when=FIRST_COMPLETED)
                for future in ready:
                    worker, job = flying.pop(future)
                    try:
                        found = future.result()
                    except BrokenExecutor:
                        found = list(_lost(job))
                        number = workers.index(worker)
                        worker = workers[number] = process(number)
                    if waiting:
                        begin(worker)
                    done += len(found)
                    show(done, "")
                    yield from found
        except BaseException:
            stop()
            raise
        for worker in workers:
            worker.shutdown()


def _in_order(configs: Sequence[str], resolved: Sequence[Any], asked: Asked) -> list[Job]:
    """The longest first, as far as it is known from last time; what has never run before all."""
    together: dict[str, list[int]] = {}
    for number, one in enumerate(resolved):
        folder = asked.folder(one)
        place = one.config.name if folder is None else os.path.realpath(folder)
        together.setdefault(str(place), []).append(number)
    names = [one.config.name for one in resolved]
    jobs = [
        Job(tuple(at), tuple(configs[i] for i in at), tuple(names[i] for i in at))
        for at in together.values()
    ]
    return sorted(jobs, key=lambda job: [_length(resolved[i]) for i in job.numbers], reverse=True)


def _length(resolved: Any) -> tuple[float, bool, int, int]:
    """How long a config may take, for sorting: seconds, what takes long in any case, the number of
    weights, the saves."""
    seconds = last_time(resolved.config.name).get(ALL, math.inf)
    slow = resolved.method == "exact" or resolved.config.simulate is not None
    widths = [width for width in resolved.config.network.widths or () if isinstance(width, int)]
    weights = sum(one * other for one, other in itertools.pairwise(widths))
    return seconds, slow, weights, resolved.flow.saves or 0


def _told(name: str) -> str:
    seconds = last_time(name).get(ALL)
    return name if seconds is None else f"{name} ({in_words(seconds)} last time)"


def _lost(job: Job) -> Iterator[Done]:
    for number, name in zip(job.numbers, job.names, strict=True):
        told = f"faflow: {name}: its process has died (no memory left?); run it alone\n"
        yield Done(number, None, told)


def _work(job: Job, asked: Asked) -> list[Done]:
    """In a worker: the configs of a job. SIGTERM ends it, as it ends a command."""
    found: list[Done] = []

    def act() -> int:
        for number, config in zip(job.numbers, job.configs, strict=True):
            with redirect_stderr(io.StringIO()) as told:
                ran = unless_told(lambda c=config: run_one(resolve_asked(c, asked), asked, tell))
            found.append(Done(number, ran, told.getvalue()))
        return 0

    interruptible(act, silent=True)
    return found


def _in_turn(names: Sequence[str]) -> str:
    """One of the names that are running, another every other second: a line has no room for all."""
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return names[int(time.monotonic() / 2) % len(names)] + others
