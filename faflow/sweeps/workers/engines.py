"""Where tasks run: in this process, or in worker processes of this machine.

An engine is a `concurrent.futures.Executor`; dask's and submitit's are in `clusters.py`. Workers
have one thread each: small flows gain nothing from more, and several would fight for the cores.
"""

import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from ...leftovers import in_one_piece

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


STOPPED = 0.5  # seconds until a process that was killed has ended


class InThisProcess(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Worker(ProcessPoolExecutor):
    """A process that knows nothing of the script that started it.

    multiprocessing would import that script in every worker, and one that calls `run_sweep` without
    asking for its `__name__` would begin the sweep again in each of them. Tasks are faflow's own.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            # The end of this process waits until the worker, which it then ends, has been told all
            # that it reads at first: one that is told half of it would say so.
            with in_one_piece(), deaf_to_interruption():
                return super().submit(fn, *args, **kwargs)  # starts the process
        finally:
            sys.modules["__main__"] = script

    def stop(self, patience: float = 0.0) -> None:
        """End the process at once, whatever it does; by SIGTERM if it has `patience` seconds."""
        processes = list((self._processes or {}).values())
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes if patience else ():
            process.terminate()
            process.join(patience)
        for process in processes:
            process.kill()
        for process in processes:
            process.join(STOPPED)


@contextmanager
def deaf_to_interruption() -> Iterator[None]:
    """Processes that are started inside, by this thread or by threads started inside, don't hear of
    Ctrl-C, from their first moment: it is the driver's."""
    _start_helper()  # first: starting it, multiprocessing would unblock the signal again
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _start_helper() -> None:
    """Python's own, which comes with the first semaphore: it removes those of a driver that has
    been killed, and would say so."""
    with _environment({"PYTHONWARNINGS": "ignore"}):
        resource_tracker.ensure_running()


def process(number: int) -> Worker:
    """A worker process of this machine, which ends when this one does, however it ends."""
    _start_helper()
    context = multiprocessing.get_context("spawn")
    return Worker(1, mp_context=context, initializer=_begin, initargs=(number,))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """The environment that workers started inside inherit."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD['XLA_FLAGS']}".strip()
    with _environment({**ONE_THREAD, "XLA_FLAGS": flags}):
        yield


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(number: int) -> None:
    """A core for every worker: XLA hands work over to as many threads as it sees cores, and to hand
    a small field over takes four times as long as to compute it."""
    if hasattr(os, "sched_setaffinity"):  # Linux
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {mine[number % len(mine)]})
    # Modules and traced programs are many objects, and looked through often: a tenth of a start.
    gc.set_threshold(50_000, 10, 10)
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    # A driver that was killed can't tell its workers to stop.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
