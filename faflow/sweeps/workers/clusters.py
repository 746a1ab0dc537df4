"""Workers of a cluster: dask's scheduler and workers, or jobs of Slurm through submitit.

Workers need the sweep's folder on a disk that they share with the driver, and the same faflow. They
write the chunks themselves; the driver only hears what is done. So it may die and be started again.
"""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from ...config.errors import ConfigError, nearest, shown
from .drive import Start
from .engines import InThisProcess, cores, deaf_to_interruption, process

JOBS = "jobs"  # where submitit keeps scripts and logs, in the sweep's folder
EVERY = 0.5  # seconds between looks at Slurm's jobs
ENGINES = ("local", "here", "dask", "dask://HOST:PORT", "slurm", "slurm-local")


class Crew(NamedTuple):
    """What starts the engines, and how many tasks each is given at a time."""

    starts: list[Start]
    ahead: int


def _here() -> Crew:
    return Crew([InThisProcess], 1)


def engine(name: str, folder: Path, workers: int | None, options: Mapping[str, Any]) -> Crew:
    """What starts the engines of this name. ConfigError if there is none, or it is not installed.

    `local`: processes of this machine. `here`: this process alone. `dask`: a cluster of dask's on
    this machine; `dask://HOST:PORT`: one that runs. `slurm`: a job for every task, `options` as
    submitit's `update_parameters` takes them (`timeout_min`, `slurm_partition`, `mem_gb`, ...);
    `slurm-local`: the same path without Slurm. `workers`: how many at a time.
    """
    count = cores() if workers is None else workers
    if options and not name.startswith("slurm"):
        raise ConfigError("--job", f"is for --on slurm, but that is {shown(name)}; remove it")
    if name == "local":
        return _here() if count == 1 else Crew([partial(process, i) for i in range(count)], 1)
    if name == "here":
        return _here()
    if name == "dask" or name.startswith("dask://"):
        return Crew([_dask(name, count)], 2 * count)
    if name in ("slurm", "slurm-local"):
        start = _slurm("slurm" if name == "slurm" else "local", folder, options)
        return Crew([start], 2 * count)
    raise ConfigError("--on", f"is {shown(name)}; {nearest(name, ENGINES)}")


def _dask(name: str, workers: int) -> Start:
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise _missing(name) from error

    address = None if name == "dask" else "tcp://" + name.removeprefix("dask://")

    def start() -> Executor:
        try:
            if address is None:
                before = multiprocessing.active_children()
                with deaf_to_interruption():
                    cluster = distributed.LocalCluster(
                        n_workers=workers, threads_per_worker=1, dashboard_address=":0"
                    )
                own = [child for child in multiprocessing.active_children() if child not in before]
                return _Dask(distributed.Client(cluster), cluster, own)
            return _Dask(distributed.Client(address, timeout="10s"), None, [])
        except OSError as error:
            what = f"is {name}, where no scheduler answers ({error}); start one"
            raise ConfigError("--on", what) from error

    return start


class _Dask(Executor):
    """A dask client as an executor. A task whose worker dies is tried again by dask (three times,
    `distributed.scheduler.allowed-failures`) before it counts as broken."""

    def __init__(self, client: Any, cluster: Any, workers: list[BaseProcess]):
        self._client, self._cluster, self._workers = client, cluster, workers

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        found: Future[Any] = Future()
        asked = self._client.submit(fn, *args, **kwargs, pure=False)
        asked.add_done_callback(lambda done: _settle(found, done.result))
        found.asked = asked  # type: ignore[attr-defined]  # dask forgets what nobody holds
        return found

    def stop(self) -> None:
        """The workers at once; the rest goes with the process, or by `shutdown`."""
        for worker in self._workers:
            worker.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del wait, cancel_futures
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _slurm(kind: str, folder: Path, options: Mapping[str, Any]) -> Start:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise _missing("slurm") from error

    def start() -> Executor:
        try:
            executor = submitit.AutoExecutor(folder=folder / JOBS, cluster=kind)
            executor.update_parameters(**{"name": "faflow", **options})
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise ConfigError("--on", f"is slurm, which submitit refuses ({error})") from error
        return _Jobs(executor)

    return start


class _Jobs(Executor):
    """submitit's jobs as futures: a thread looks after all of them."""

    def __init__(self, executor: Any):
        self._executor, self._jobs = executor, list[tuple[Any, Future[Any]]]()
        self._open = True
        Thread(target=self._watch, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.append((self._executor.submit(fn, *args, **kwargs), future))
        return future

    def _watch(self) -> None:
        while self._open:
            for job, future in list(self._jobs):
                if job.done():
                    self._jobs.remove((job, future))
                    _settle(future, job.result)
            time.sleep(EVERY)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del wait
        self._open = False
        if cancel_futures:
            for job, _ in self._jobs:
                job.cancel()


def _settle(future: Future[Any], result: Callable[[], Any]) -> None:
    """What a worker's death is called depends on who noticed; all other errors are the task's."""
    try:
        future.set_result(result())
    except Exception as error:
        died = {"KilledWorker", "UncompletedJobError", "CancelledError", "FutureCancelledError"}
        lost = died & {kind.__name__ for kind in type(error).__mro__}
        future.set_exception(BrokenExecutor(str(error)) if lost else error)


def _missing(name: str) -> ConfigError:
    what = f"is {name}, which is not installed; pip install 'faflow[cluster]'"
    return ConfigError("--on", what)
